//! The bucket: no client sends more than it may, none waits longer than it must.
#![allow(missing_docs, clippy::unwrap_used)]

use icomet_websocket::rate::{Bucket, MAX_DEBT, Rate, UNIT};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a client does: it lets so many microseconds pass, and sends a command of so many bytes.
fn steps() -> impl Strategy<Value = Vec<(u64, usize)>> {
    let bytes = prop_oneof![4 => Just(0), 1 => 0..UNIT * 40];
    vec((0..60_000u64, bytes), 1..400)
}

fn rates() -> impl Strategy<Value = Rate> {
    (1..5000u32, 1..500u32).prop_map(|(per_second, burst)| Rate::new(per_second, burst))
}

/// The largest sum of costs within `time`, in commands: the burst, what comes meanwhile, and what the last
/// command may be in debt.
fn most(rate: Rate, time: u64, largest: f64) -> f64 {
    let command = (1_000_000 / u64::from(rate.per_second())) as f64;
    f64::from(rate.burst()) + time as f64 / command + largest + 1.0
}

proptest! {
    #[test]
    fn no_more_than_burst_and_rate(rate in rates(), steps in steps(), start in 0..1u64 << 40) {
        let (mut now, mut bucket) = (start, Bucket::default());
        let (mut cost, mut largest) = (0.0, 0.0f64);
        for (time, bytes) in steps {
            now += time;
            if !rate.allows(bucket, now) {
                continue;
            }
            let one = 1.0 + (bytes / UNIT) as f64;
            // A debt that is forgiven is no more than one command's: it is left out of the sum.
            let debt = (MAX_DEBT * u64::from(rate.per_second())) as f64 / 1e6;
            cost += one.min(debt);
            largest = largest.max(one);
            bucket = rate.charge(bucket, now, bytes);
            prop_assert!(cost <= most(rate, now - start, largest), "{cost} in {}", now - start);
        }
    }

    #[test]
    fn whoever_waits_may_send_then(rate in rates(), steps in steps()) {
        let (mut now, mut bucket) = (0, Bucket::default());
        for (time, bytes) in steps {
            now += time;
            let pause = rate.pause(bucket, now);
            if !rate.allows(bucket, now) {
                prop_assert!(pause > 0, "else it would be asked at once, again and again");
                let command = 1_000_000 / u64::from(rate.per_second());
                // The debt, and some ten times a second, or one command's time.
                prop_assert!(pause <= MAX_DEBT + 100_000.max(command) + command);
                now += pause;
            }
            prop_assert!(rate.allows(bucket, now));
            bucket = rate.charge(bucket, now, bytes);
        }
    }

    #[test]
    fn slower_than_the_rate_is_never_held_up(rate in rates(), spare in vec(0..1000u64, 1..200)) {
        let (mut now, mut bucket) = (0, Bucket::default());
        for spare in spare {
            prop_assert!(rate.allows(bucket, now));
            bucket = rate.charge(bucket, now, 0);
            now += 1_000_000 / u64::from(rate.per_second()) + spare;
        }
    }

    #[test]
    fn a_burst_is_taken_at_once_and_not_one_more(rate in rates(), now in 0..1u64 << 40) {
        let mut bucket = Bucket::default();
        for _ in 0..rate.burst() {
            prop_assert!(rate.allows(bucket, now));
            bucket = rate.charge(bucket, now, 0);
        }
        prop_assert!(!rate.allows(bucket, now));
    }

    #[test]
    fn any_values_are_taken(
        per_second in any::<u32>(), burst in any::<u32>(),
        at in any::<u64>(), now in any::<u64>(), bytes in any::<usize>(),
    ) {
        let rate = Rate::new(per_second, burst);
        let bucket = Bucket(at >> 1);
        let now = now >> 1;
        let _ = (rate.allows(bucket, now), rate.pause(bucket, now));
        let after = rate.charge(bucket, now, bytes);
        let room = u64::from(rate.burst()) * 1_000_000 / u64::from(rate.per_second());
        prop_assert!(after.0 <= now + room + MAX_DEBT);
    }
}
