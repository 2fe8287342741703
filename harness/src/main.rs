//! Checks with many clients and processes against a real nginx.
//!
//! Each check starts its own nginx on a free loopback port in a temporary prefix, drives it as
//! clients and operators do, and looks for what a user would notice.

mod backend;
mod body;
mod chaos;
mod checks;
mod config;
mod crowd;
mod deaf;
mod feed;
mod fleet;
mod follow;
mod hammer;
mod http;
mod hub;
mod latency;
mod ledger;
mod message;
mod nginx;
mod process;
mod reloads;
mod runner;
mod subscriber;
mod traffic;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;

use crate::nginx::Setup;

const HELP: &str = "\
icomet-harness [FILTER] [--full] [--list] [--keep] [--nginx PATH] [--module PATH]
icomet-harness [FILTER] --fault-module PATH
icomet-harness chaos [OPTIONS]
icomet-harness reloads [OPTIONS]
icomet-harness deaf [OPTIONS]

FILTER    run only the checks whose name contains it
--full    only the checks that have figures to tell, at full size (docs/reliability.md)
--list    name the checks and what they look for
--keep    leave the temporary prefixes (configuration, error.log)
--nginx   default target/release/nginx-objs/nginx
--module  default target/release/libngx_http_icomet_module.so
--fault-module PATH  a module built by script/build-fault.sh: only the checks that need one

chaos: kills, stops, reloads, floods and cuts while clients of all transports work; everything must be
right after each round
--seconds N        begin rounds for so long (60)
--rounds N         at most so many
--round-seconds N  a round's disturbances (6)
--each N           at most so many disturbances a round
--events LIST      of kill,fault,stop,reload,flood,cut (all)
--fault-module PATH  a module built by script/build-fault.sh: workers die inside the engine too
--seed N           the same choices again (random)
--workers N        (3)
--channels N       (20)
--subscribers N    of each channel (10)
--park on|off      whether subscribers are parked (on)
--growth-mb N      by so much may a process's memory grow once warmed up (4)
--tell N           a line about a round at most each N seconds (0)

reloads: many waiting subscribers, publishing, one reload after the other
--subscribers N    each with a channel of its own (20000)
--rate N           messages a second (2000)
--reloads N        (20)
--workers N        (4)
--expect-unbroken  a waiting subscriber that is ended is a fault

deaf: one worker is killed; how many subscribers of the others are open and hear nothing more
--servers LIST     of icomet,nchan
--rounds N         kills, each of a fresh server (5)
--workers N        (2)
--channels N       (200)
--subscribers N    of each channel (5)
--nchan-nginx PATH   /usr/sbin/nginx
--nchan-module PATH  /usr/lib/nginx/modules/ngx_nchan_module.so
";

/// What is to be run.
enum Command {
    /// The checks whose name contains this.
    Checks(String),
    /// Chaos.
    Chaos(chaos::Options),
    /// What one killed worker does to the clients of the others.
    Deaf(deaf::Options),
    /// Many parked subscribers, and reloads.
    Reloads(reloads::Options),
}

struct Arguments {
    command: Command,
    list: bool,
    storm_clients: Option<String>,
    help: bool,
    setup: Setup,
}

impl Arguments {
    /// Takes an option that a command knows.
    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        match (&mut self.command, name) {
            (Command::Chaos(options), "fault-module") => {
                self.setup.module = parser.value()?.into();
                options.fault = true;
                return Ok(());
            }
            (Command::Checks(_), "fault-module") => {
                self.setup.module = parser.value()?.into();
                self.setup.faults = true;
                return Ok(());
            }
            (Command::Reloads(options), "expect-unbroken") => {
                options.expect_unbroken = true;
                return Ok(());
            }
            _ => {}
        }
        let value = parser.value()?.string()?;
        let result = match &mut self.command {
            Command::Chaos(options) => options.set(name, &value),
            Command::Reloads(options) => options.set(name, &value),
            Command::Deaf(options) => options.set(name, &value),
            Command::Checks(_) => return Err(format!("no option --{name} here").into()),
        };
        result.map_err(|error| format!("--{name} {value}: {error:#}").into())
    }
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    let mut found = Arguments {
        command: Command::Checks(String::new()),
        list: false,
        storm_clients: None,
        help: false,
        setup: Setup {
            nginx: PathBuf::from("target/release/nginx-objs/nginx"),
            module: PathBuf::from("target/release/libngx_http_icomet_module.so"),
            keep: false,
            files: 1024,
            faults: false,
            full: false,
        },
    };
    let mut parser = lexopt::Parser::from_env();
    let mut named = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("list") => found.list = true,
            // Said by the check "storm" to its own processes.
            Long("storm-clients") => found.storm_clients = Some(parser.value()?.string()?),
            Long("full") => found.setup.full = true,
            Long("keep") => found.setup.keep = true,
            Long("nginx") => found.setup.nginx = parser.value()?.into(),
            Long("module") => found.setup.module = parser.value()?.into(),
            Long("help") | Short('h') => found.help = true,
            Value(word) if !named => {
                named = true;
                let word = word.string()?;
                found.command = match word.as_str() {
                    "chaos" => Command::Chaos(chaos::Options::default()),
                    "deaf" => Command::Deaf(deaf::Options::default()),
                    "reloads" => Command::Reloads(reloads::Options::default()),
                    _ => Command::Checks(word),
                };
            }
            Long(name) => {
                let name = name.to_owned();
                found.set(&name, &mut parser)?;
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let mut arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprint!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if arguments.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        for check in checks::all().into_iter().chain(checks::with_faults()) {
            println!("{:14} {}", check.name, check.about);
        }
        return ExitCode::SUCCESS;
    }
    arguments.setup.files = process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(what) = arguments.storm_clients {
        return match runtime.block_on(checks::storm::clients::main(&what)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    runtime.block_on(async {
        match arguments.command {
            Command::Checks(filter) => runner::run(arguments.setup, &filter).await,
            Command::Chaos(options) => {
                let run = async move { chaos::run(&arguments.setup, &options, runner::say).await };
                runner::command("chaos", run).await
            }
            Command::Deaf(options) => {
                let run = async move { deaf::run(&arguments.setup, &options, runner::say).await };
                runner::command("deaf", run).await
            }
            Command::Reloads(options) => {
                let run =
                    async move { reloads::run(&arguments.setup, &options, runner::say).await };
                runner::command("reloads", run).await
            }
        }
    })
}
