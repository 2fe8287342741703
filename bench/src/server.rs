//! A server under measurement: started, looked at, stopped whatever happens.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::config::{self, Shape};
use crate::process;
use crate::target::{Kind, Method, Target};

/// What nginx allocates and touches for a connection at its start, before there is one: an
/// `ngx_connection_t` of 232 bytes and two `ngx_event_t` of 96.
pub const SLOT: u64 = 232 + 2 * 96;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The nginx that icomet's module was built for.
    pub nginx: PathBuf,
    /// icomet's module.
    pub module: PathBuf,
    /// The nginx of nchan.
    pub nchan_nginx: PathBuf,
    /// nchan's module.
    pub nchan_module: PathBuf,
    /// How messages are published to icomet.
    pub method: Method,
    /// Whether prefixes stay afterwards.
    pub keep: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// As its clients see it.
    pub target: Target,
    child: Child,
    processes: Vec<u32>,
    prefix: TempDir,
}

impl Server {
    /// Starts one and waits until it serves.
    pub fn start(programs: &Programs, kind: Kind, shape: Shape) -> Result<Self> {
        let prefix = tempfile::Builder::new()
            .prefix("icomet-bench-")
            .disable_cleanup(programs.keep)
            .tempdir()
            .context("temporary prefix")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut command = match kind {
            Kind::Floor => floor(address, shape.workers)?,
            Kind::Icomet => nginx(
                kind,
                &programs.nginx,
                &programs.module,
                &prefix,
                port,
                &shape,
            )?,
            Kind::Nchan => nginx(
                kind,
                &programs.nchan_nginx,
                &programs.nchan_module,
                &prefix,
                port,
                &shape,
            )?,
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(prefix.path().join("stderr"))?);
        // SAFETY: prctl is async-signal-safe and takes integers only. The signal ends the server
        // even when this process is killed.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", kind.name()))?;
        let mut server = Self {
            target: Target {
                kind,
                address,
                method: programs.method,
            },
            processes: vec![child.id()],
            child,
            prefix,
        };
        server.ready(shape.workers)?;
        Ok(server)
    }

    fn ready(&mut self, workers: usize) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let stderr = std::fs::read(self.prefix.path().join("stderr")).unwrap_or_default();
                let kind = self.target.kind.name();
                bail!(
                    "{kind} did not start ({status}): {}",
                    String::from_utf8_lossy(&stderr)
                );
            }
            let children = match self.target.kind {
                Kind::Floor => Vec::new(),
                _ => process::children(self.child.id()),
            };
            let complete = self.target.kind == Kind::Floor || children.len() == workers;
            if complete && TcpStream::connect(self.target.address).is_ok() {
                self.processes.extend(children);
                break;
            }
            ensure!(
                start.elapsed() < Duration::from_secs(60),
                "{} does not come up",
                self.target.kind.name()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self.quiet();
        Ok(())
    }

    /// Nanoseconds that its processes have run.
    pub fn cpu(&self) -> u64 {
        self.processes.iter().copied().map(process::cpu).sum()
    }

    /// Memory of its processes together.
    pub fn pss(&self) -> u64 {
        self.processes.iter().copied().map(process::pss).sum()
    }

    /// What its connections cost beside what it had before: its growth, and the slots that nginx
    /// has allocated for them beforehand.
    pub fn growth(&self, before: u64, connections: usize) -> u64 {
        let slots = match self.target.kind {
            Kind::Floor => 0,
            _ => SLOT * connections as u64,
        };
        self.pss().saturating_sub(before) + slots
    }

    /// Waits (ten seconds at most) until it does nothing any more.
    pub fn quiet(&self) {
        const STEP: Duration = Duration::from_millis(25);
        let mut calm = 0;
        let mut before = self.cpu();
        for _ in 0..400 {
            std::thread::sleep(STEP);
            let now = self.cpu();
            // Idle timers may fall in: two percent are allowed.
            calm = if now - before < 500_000 { calm + 1 } else { 0 };
            if calm == 2 {
                return;
            }
            before = now;
        }
    }

    /// Alarming lines of its error log.
    pub fn alarms(&self) -> Vec<String> {
        let path = self.prefix.path().join("logs/error.log");
        let log = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .lines()
            .filter(|line| {
                ["[alert]", "[crit]", "[emerg]", "panicked", "are not enough"]
                    .iter()
                    .any(|sign| line.contains(sign))
            })
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        process::signal(self.child.id(), libc::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if ended(&mut self.child) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("{} does not end: killed", self.target.kind.name());
        for pid in &self.processes {
            process::signal(*pid, libc::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

fn floor(address: SocketAddrV4, threads: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", "--listen", &address.to_string()]);
    command.args(["--threads", &threads.to_string()]);
    Ok(command)
}

fn nginx(
    kind: Kind,
    binary: &Path,
    module: &Path,
    prefix: &TempDir,
    port: u16,
    shape: &Shape,
) -> Result<Command> {
    let path = prefix.path();
    for directory in ["logs", "temp"] {
        std::fs::create_dir(path.join(directory)).context("temporary prefix")?;
    }
    let module = module
        .canonicalize()
        .with_context(|| format!("module {}", module.display()))?;
    let text = config::nginx(kind, &module, port, shape);
    std::fs::write(path.join("nginx.conf"), text)?;
    let mut command = Command::new(binary);
    command
        .arg("-p")
        .arg(path)
        .args(["-c", "nginx.conf", "-e", "logs/error.log"]);
    Ok(command)
}
