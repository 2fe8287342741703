//! Runs the checks one after the other and says what came of each.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};

use crate::checks;
use crate::nginx::Setup;

/// Prints a line at once. A reader that went away is no reason to leave an nginx behind.
macro_rules! say {
    ($($part:tt)*) => {{
        let mut out = std::io::stdout();
        let _ = writeln!(out, $($part)*);
        let _ = out.flush();
    }};
}

/// Prints a line at once.
pub fn say(line: &str) {
    say!("{line}");
}

/// Runs something that takes as long as it was told to, and says what came of it.
pub async fn command(name: &str, run: impl Future<Output = Result<String>>) -> ExitCode {
    let result = tokio::select! {
        result = run => result,
        () = stop_signal() => {
            say!("stopped");
            return ExitCode::from(130);
        }
    };
    match result {
        Ok(summary) => {
            say!("ok    {name} {summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            say!("FAIL  {name} {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// No check may take longer, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs every check whose name contains `filter`; the exit code says whether all passed.
pub async fn run(setup: Setup, filter: &str) -> ExitCode {
    let setup = Arc::new(setup);
    let (mut passed, mut failed) = (0, 0);
    let all = match setup.faults {
        true => checks::with_faults(),
        false => checks::all(),
    };
    for check in all
        .into_iter()
        .filter(|check| check.name.contains(filter) && (check.has_figures || !setup.full))
    {
        let start = Instant::now();
        let result = tokio::select! {
            result = guarded((check.run)(Arc::clone(&setup))) => result,
            () = stop_signal() => {
                say!("stopped in {}", check.name);
                return ExitCode::from(130);
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(summary) => {
                passed += 1;
                say!("ok    {:14} {summary} ({seconds:.1} s)", check.name);
            }
            Err(error) => {
                failed += 1;
                say!("FAIL  {:14} {error:#} ({seconds:.1} s)", check.name);
            }
        }
    }
    if passed + failed == 0 {
        say!("no check's name contains {filter:?}");
        failed = 1;
    }
    say!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Turns a panic or an endless check into an error. The check is dropped in each case, and its
/// nginx with it.
async fn guarded(check: checks::Running) -> Result<String> {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(tokio::time::timeout(LIMIT, check));
    match tasks.join_next().await {
        Some(Ok(Ok(result))) => result,
        Some(Ok(Err(_))) => Err(anyhow!("not done within {LIMIT:?}")),
        Some(Err(error)) => Err(anyhow!("panicked: {error}")),
        None => Err(anyhow!("did not run")),
    }
}

async fn stop_signal() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
