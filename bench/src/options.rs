//! The command line of `run`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use lexopt::prelude::*;

use crate::scenario;
use crate::server::Programs;
use crate::target::{Kind, Method};

/// What is to be measured, and how large.
#[derive(Debug, Clone)]
pub struct Options {
    /// The servers that are compared.
    pub servers: Vec<Kind>,
    /// The names of the scenarios.
    pub scenarios: Vec<String>,
    /// Where the programs are.
    pub programs: Programs,
    /// Where the report goes.
    pub out: PathBuf,
    /// Subscribers of the memory scenarios.
    pub subscribers: usize,
    /// Subscribers of the scenarios about CPU.
    pub few: usize,
    /// Subscribers of the large scenarios.
    pub many: usize,
    /// Subscribers of c1000k.
    pub million: usize,
    /// Workers in the large scenarios.
    pub workers: usize,
    /// Workers in c1000k.
    pub million_workers: usize,
    /// How often each measurement is made.
    pub rounds: usize,
    /// Messages a second in `latency`.
    pub rate: f64,
    /// How long one measurement with a load takes.
    pub time: Duration,
    /// How long idle servers are looked at.
    pub idle_time: Duration,
    /// Connections of publishers.
    pub publishers: usize,
    /// Whether nginx logs requests.
    pub access_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: Kind::ALL.to_vec(),
            scenarios: scenario::usual(),
            programs: Programs {
                nginx: "target/release/nginx-objs/nginx".into(),
                module: "target/release/libngx_http_icomet_module.so".into(),
                nchan_nginx: "/usr/sbin/nginx".into(),
                nchan_module: "/usr/lib/nginx/modules/ngx_nchan_module.so".into(),
                method: Method::Get,
                keep: false,
            },
            out: "target/bench".into(),
            subscribers: 20_000,
            few: 10_000,
            many: 100_000,
            million: 1_000_000,
            workers: 6,
            million_workers: 60,
            rounds: 3,
            rate: 5000.0,
            time: Duration::from_secs(4),
            idle_time: Duration::from_secs(15),
            publishers: 32,
            access_log: false,
        }
    }
}

impl Options {
    /// Reads the rest of a command line.
    pub fn parse(parser: &mut lexopt::Parser) -> Result<Self> {
        let mut found = Self::default();
        while let Some(argument) = parser.next()? {
            let Long(name) = argument else {
                return Err(argument.unexpected().into());
            };
            let name = name.to_owned();
            found
                .set(&name, parser)
                .with_context(|| format!("--{name}"))?;
        }
        Ok(found)
    }

    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<()> {
        match name {
            "access-log" => self.access_log = true,
            "keep" => self.programs.keep = true,
            _ => {
                let value = parser.value()?.string()?;
                self.set_value(name, &value)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, value: &str) -> Result<()> {
        let seconds = || Ok::<_, anyhow::Error>(Duration::from_secs_f64(value.parse()?));
        match name {
            "servers" => self.servers = list(value, server)?,
            "scenarios" => self.scenarios = list(value, scenario::named)?,
            "nginx" => self.programs.nginx = value.into(),
            "module" => self.programs.module = value.into(),
            "nchan-nginx" => self.programs.nchan_nginx = value.into(),
            "nchan-module" => self.programs.nchan_module = value.into(),
            "publish-by" => self.programs.method = method(value)?,
            "out" => self.out = value.into(),
            "subscribers" => self.subscribers = value.parse()?,
            "few" => self.few = value.parse()?,
            "many" => self.many = value.parse()?,
            "million" => self.million = value.parse()?,
            "workers" => self.workers = value.parse()?,
            "million-workers" => self.million_workers = value.parse()?,
            "rounds" => self.rounds = value.parse()?,
            "rate" => self.rate = value.parse()?,
            "seconds" => self.time = seconds()?,
            "idle-seconds" => self.idle_time = seconds()?,
            "publishers" => self.publishers = value.parse()?,
            _ => return Err(anyhow!("there is no such option")),
        }
        Ok(())
    }
}

fn list<T>(value: &str, one: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    value.split(',').map(one).collect()
}

fn server(name: &str) -> Result<Kind> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| anyhow!("{name} is none of icomet, nchan, floor"))
}

fn method(name: &str) -> Result<Method> {
    match name {
        "get" => Ok(Method::Get),
        "post" => Ok(Method::Post),
        _ => Err(anyhow!("{name} is neither get nor post")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_read() {
        let line = ["--servers", "floor,icomet", "--rounds", "5", "--access-log"];
        let options = Options::parse(&mut lexopt::Parser::from_args(line)).unwrap();
        assert_eq!(options.servers, [Kind::Floor, Kind::Icomet]);
        assert_eq!(options.rounds, 5);
        assert!(options.access_log);
        for bad in [
            ["--servers", "apache"],
            ["--what", "x"],
            ["--scenarios", "x"],
        ] {
            assert!(Options::parse(&mut lexopt::Parser::from_args(bad)).is_err());
        }
    }
}
