//! Checks with many clients and processes against a real nginx.
//!
//! Each check starts its own nginx on a free loopback port in a temporary prefix, drives it as
//! clients and operators do, and looks for what a user would notice.

mod body;
mod checks;
mod config;
mod crowd;
mod feed;
mod follow;
mod hammer;
mod http;
mod hub;
mod latency;
mod ledger;
mod message;
mod nginx;
mod process;
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

FILTER    run only the checks whose name contains it
--full    only the checks that have figures to tell, at full size (docs/reliability.md)
--list    name the checks and what they look for
--keep    leave the temporary prefixes (configuration, error.log)
--nginx   default target/release/nginx-objs/nginx
--module  default target/release/libngx_http_icomet_module.so
";

struct Arguments {
    filter: String,
    list: bool,
    storm_clients: Option<String>,
    help: bool,
    setup: Setup,
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    let mut found = Arguments {
        filter: String::new(),
        list: false,
        storm_clients: None,
        help: false,
        setup: Setup {
            nginx: PathBuf::from("target/release/nginx-objs/nginx"),
            module: PathBuf::from("target/release/libngx_http_icomet_module.so"),
            keep: false,
            files: 1024,
            full: false,
        },
    };
    let mut parser = lexopt::Parser::from_env();
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
            Value(filter) if found.filter.is_empty() => found.filter = filter.string()?,
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
        for check in checks::all() {
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
    runtime.block_on(runner::run(arguments.setup, &arguments.filter))
}
