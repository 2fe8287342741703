//! Load generator, floor server and comparison runner.
//!
//! Everything here measures; what is right or wrong is the harness's business.

mod config;
mod content;
mod crowd;
mod floor;
mod goals;
mod http;
mod options;
mod plot;
mod process;
mod publisher;
mod report;
mod scenario;
mod server;
mod subscriber;
mod sys;
mod target;
mod websocket;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::options::Options;
use crate::scenario::Bench;

const HELP: &str = "\
icomet-bench run [OPTIONS]      measure, compare, report
icomet-bench list               name the scenarios
icomet-bench floor --listen ADDRESS [--threads N]
                                only the floor: a server that does nothing but send

--servers LIST          of icomet,nchan,floor
--scenarios LIST        default: all but c1000k
--nginx PATH            icomet's nginx (target/release/nginx-objs/nginx)
--module PATH           icomet's module (target/release/libngx_http_icomet_module.so)
--nchan-nginx PATH      /usr/sbin/nginx
--nchan-module PATH     /usr/lib/nginx/modules/ngx_nchan_module.so
--out FOLDER            report.md, report.json, report.svg (target/bench)
--subscribers N         of the memory scenarios (20000)
--few N                 of the scenarios about CPU (10000)
--many N                of fanout-last, latency, idle-cpu, scaling, ws-memory (100000)
--million N             of c1000k (1000000)
--workers N             in the large scenarios (6)
--million-workers N     in c1000k (60)
--rounds N              how often each is measured (3)
--rate N                messages a second in latency (5000)
--seconds N             of one measurement under load (4)
--idle-seconds N        of idle-cpu (15)
--publishers N          connections of publishers (32)
--publish-by get|post   how icomet gets its messages (get)
--access-log            nginx logs requests, for both (off)
--keep                  leaves configurations and logs
";

fn run() -> Result<()> {
    let mut parser = lexopt::Parser::from_env();
    match parser.next()? {
        Some(Value(command)) => match command.string()?.as_str() {
            "run" => measure(&Options::parse(&mut parser)?),
            "floor" => floor(&mut parser),
            "list" => {
                for (name, about) in scenario::ALL {
                    println!("{name:22} {about}");
                }
                Ok(())
            }
            other => bail!("there is no command {other}\n\n{HELP}"),
        },
        None | Some(Long("help") | Short('h')) => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(other.unexpected().into()),
    }
}

fn floor(parser: &mut lexopt::Parser) -> Result<()> {
    let mut address = None;
    let mut threads = 1;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => address = Some(parser.value()?.parse()?),
            Long("threads") => threads = parser.value()?.parse()?,
            _ => return Err(argument.unexpected().into()),
        }
    }
    sys::raise_open_files();
    floor::serve(address.context("--listen ADDRESS is missing")?, threads)
}

fn measure(options: &Options) -> Result<()> {
    let files = sys::raise_open_files();
    if files < 20_000 {
        bail!("needs 20000 open files a process, the limit is {files}: raise it (ulimit -n)");
    }
    let start = std::time::Instant::now();
    let mut bench = Bench {
        options,
        report: report::Report::default(),
    };
    bench.run();
    let seconds = start.elapsed().as_secs();
    let about = about(options, seconds);
    let verdicts = goals::judge(&bench.report, |scenario| bench.wants(scenario));
    println!("\n{}", bench.report.figure_table());
    println!("{}", report::verdict_table(&verdicts));
    std::fs::create_dir_all(&options.out)?;
    let markdown = bench.report.markdown(&about, &verdicts);
    std::fs::write(options.out.join("report.md"), markdown)?;
    let json = serde_json::to_string_pretty(&bench.report.json(&about, &verdicts))?;
    std::fs::write(options.out.join("report.json"), json)?;
    std::fs::write(options.out.join("report.svg"), plot::svg(&bench.report))?;
    println!("{} s; the report is in {}", seconds, options.out.display());
    Ok(())
}

/// Under what the figures were taken.
fn about(options: &Options, seconds: u64) -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let log = if options.access_log { "on" } else { "off" };
    let publish = format!("{:?}", options.programs.method).to_uppercase();
    [
        ("cores", cores.to_string()),
        ("seconds", seconds.to_string()),
        ("rounds", options.rounds.to_string()),
        (
            "subscribers",
            format!(
                "{} for memory, {} for CPU and publishing, {} where many are wanted",
                options.subscribers, options.few, options.many
            ),
        ),
        (
            "latency",
            format!(
                "{} messages a second, {} workers",
                options.rate, options.workers
            ),
        ),
        ("access_log", format!("{log}, for icomet and nchan alike")),
        ("publishing to icomet", publish),
        (
            "memory",
            format!(
                "growth of the PSS of all server processes, and {} bytes a live connection, \
                 which nginx has allocated at its start",
                server::SLOT
            ),
        ),
        (
            "CPU",
            "run time of all server processes, their system calls included".to_owned(),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("icomet-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
