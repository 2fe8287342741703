//! Several channels in one request: `cname=a,b,c&seq=3,0,9`.
//!
//! Values are parted at commas as they stand in the query; a comma within a name is `%2C`. So a client
//! that encodes what it is given names one channel, as ever.

use std::borrow::Cow;

use super::{ParameterError, Params, check_channel_name, decode, out_of_range};
use crate::number;
use crate::resume::Epoch;

/// The channels that a subscriber names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelNames<'a> {
    /// One, as clients of the original do.
    One(Cow<'a, str>),
    /// Several, each once.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Params<'a> {
    /// The channels in that parameter, at most `max`; each checked as [`check_channel_name`] does.
    pub fn channel_names(
        &self,
        parameter: &str,
        max: usize,
    ) -> Result<ChannelNames<'a>, ParameterError> {
        let raw = self
            .raw(parameter)
            .ok_or(ParameterError::ChannelNameMissing)?;
        if !raw.contains(&b',') {
            return checked(raw).map(ChannelNames::One);
        }
        let mut names = Vec::new();
        for part in raw.split(|byte| *byte == b',') {
            if names.len() == max {
                return Err(ParameterError::TooManyChannels { max });
            }
            names.push(checked(part)?);
        }
        let mut sorted: Vec<&str> = names.iter().map(|name| &**name).collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ParameterError::ChannelNameTwice);
        }
        Ok(ChannelNames::Many(names))
    }

    /// `seq` for each of so many channels; without it, and where a value is empty, 0.
    pub fn seqs(&self, channels: usize) -> Result<Vec<u64>, ParameterError> {
        let values = self.list("seq", channels)?.into_iter();
        values
            .map(|value| match &*value {
                b"" => Ok(0),
                digits => {
                    number::parse_u64(digits).ok_or_else(|| out_of_range("seq", 0..=u64::MAX))
                }
            })
            .collect()
    }

    /// `epoch` for each of so many channels; where it is empty, none. One for all, as clients had it once, is
    /// no channel's.
    pub fn epochs(&self, channels: usize) -> Result<Vec<Option<Epoch>>, ParameterError> {
        let Some(value) = self.get_filled("epoch") else {
            return Ok(vec![None; channels]);
        };
        if !value.contains(&b',') {
            return Ok(vec![Some(Epoch::NONE); channels]);
        }
        // None has a comma in it, so it does not matter whether a client has encoded them.
        let parts = value.split(|byte| *byte == b',').take(channels + 1);
        let claimed = |part: &[u8]| (!part.is_empty()).then(|| Epoch::claimed(part));
        let epochs: Vec<_> = parts.map(claimed).collect();
        if epochs.len() == channels {
            Ok(epochs)
        } else {
            Err(ParameterError::ListLength { name: "epoch" })
        }
    }

    /// `token` for each of so many channels, as sent; never log them.
    pub fn tokens(&self, channels: usize) -> Result<Vec<Cow<'a, [u8]>>, ParameterError> {
        self.list("token", channels)
    }

    /// A value for each channel; empty ones if there is no such parameter.
    fn list(
        &self,
        name: &'static str,
        channels: usize,
    ) -> Result<Vec<Cow<'a, [u8]>>, ParameterError> {
        let Some(raw) = self.raw(name).filter(|raw| !raw.is_empty()) else {
            return Ok(vec![Cow::Borrowed(&[][..]); channels]);
        };
        // One more than there may be is enough to know.
        let parts = raw.split(|byte| *byte == b',').take(channels + 1);
        let values: Vec<_> = parts.map(decode::decode).collect();
        if values.len() == channels {
            Ok(values)
        } else {
            Err(ParameterError::ListLength { name })
        }
    }
}

fn checked(raw: &[u8]) -> Result<Cow<'_, str>, ParameterError> {
    Ok(match decode::decode(raw) {
        Cow::Borrowed(name) => Cow::Borrowed(check_channel_name(name)?),
        Cow::Owned(name) => Cow::Owned(check_channel_name(&name)?.to_owned()),
    })
}
