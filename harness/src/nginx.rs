//! A real nginx in a temporary prefix, stopped whatever happens.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::config::Config;
use crate::process;
use crate::wait::{until, within};

/// What all checks share.
#[derive(Debug)]
pub struct Setup {
    /// The nginx binary.
    pub nginx: PathBuf,
    /// The module.
    pub module: PathBuf,
    /// Whether the prefixes stay afterwards.
    pub keep: bool,
    /// How many files a process may have open.
    pub files: u64,
    /// Whether the module was built for fault injection.
    pub faults: bool,
    /// Whether checks run at the size whose figures docs/reliability.md tells.
    pub full: bool,
}

impl Setup {
    /// Starts nginx and waits until it serves.
    pub async fn start(&self, config: Config) -> Result<Nginx> {
        let mut last = None;
        // The port is free when it is chosen, but another program may be quicker.
        for _ in 0..5 {
            match Nginx::start(self, &config).await {
                Ok(nginx) => return Ok(nginx),
                Err(error) if format!("{error:#}").contains("Address already in use") => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no free port")))
    }

    /// Fails when a process may not have so many files open.
    pub fn need_files(&self, count: u64) -> Result<()> {
        ensure!(
            self.files >= count,
            "needs {count} open files, the limit is {}: raise it (ulimit -n)",
            self.files
        );
        Ok(())
    }
}

/// How a worker is called that takes connections.
const SERVING: &str = "nginx: worker process";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    binary: PathBuf,
    child: Child,
    master: i32,
    workers: usize,
    prefix: TempDir,
}

impl Nginx {
    async fn start(setup: &Setup, config: &Config) -> Result<Self> {
        let prefix = tempfile::Builder::new()
            .prefix("icomet-harness-")
            .disable_cleanup(setup.keep)
            .tempdir()
            .context("temporary prefix")?;
        let path = prefix.path();
        for directory in ["logs", "conf"] {
            std::fs::create_dir(path.join(directory)).context("temporary prefix")?;
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let module = setup
            .module
            .canonicalize()
            .with_context(|| format!("module {}", setup.module.display()))?;
        let text = config.render(&module, address, setup.files);
        std::fs::write(path.join("conf/nginx.conf"), text)?;
        let (child, master) = spawn(&setup.nginx, path)?;
        let mut nginx = Self {
            address,
            binary: setup.nginx.clone(),
            child,
            master,
            workers: config.workers,
            prefix,
        };
        if setup.keep {
            println!("      prefix {}", nginx.prefix.path().display());
        }
        nginx.ready().await?;
        Ok(nginx)
    }

    /// Starts an nginx that has exited, with what it left, and waits until it serves.
    pub async fn start_again(&mut self) -> Result<()> {
        (self.child, self.master) = spawn(&self.binary, self.prefix.path())?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "nginx did not start ({status}): {}",
                    self.read("logs/stderr").trim()
                );
            }
            if self.serving_workers().len() == self.workers
                && tokio::net::TcpStream::connect(self.address).await.is_ok()
            {
                return Ok(());
            }
            ensure!(
                start.elapsed() < crate::wait::DEADLINE,
                "nginx does not come up"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The worker processes that take connections (not those shutting down).
    pub fn serving_workers(&self) -> Vec<i32> {
        let mut workers = process::children(self.master);
        workers.retain(|pid| process::title(*pid) == SERVING);
        workers
    }

    /// Waits until nginx has as many serving workers as configured and no other process, least of
    /// all one of `gone`.
    pub async fn renewed(&self, gone: &[i32]) -> Result<()> {
        until("workers replaced", || async {
            let children = process::children(self.master);
            let serving = self.serving_workers();
            let old = gone.iter().any(|pid| children.contains(pid));
            Ok(
                (serving.len() != self.workers || children.len() != self.workers || old)
                    .then(|| format!("{} processes, {} serving", children.len(), serving.len())),
            )
        })
        .await
    }

    /// Waits until a reload's new workers serve (the old ones may be there still).
    pub async fn reloaded(&self, before: &[i32]) -> Result<()> {
        let before: HashSet<i32> = before.iter().copied().collect();
        until("new workers after a reload", || async {
            let serving = self.serving_workers();
            let fresh = serving.iter().filter(|pid| !before.contains(pid)).count();
            Ok((fresh != self.workers).then(|| format!("{fresh} new ones")))
        })
        .await
    }

    /// Waits until these old workers have begun to exit (or are gone).
    pub async fn exiting(&self, old: &[i32]) -> Result<()> {
        within("old workers begin to exit", async {
            while old.iter().any(|pid| process::title(*pid) == SERVING) {
                // What comes next is to meet them in the middle of it.
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// Kills a worker.
    pub fn kill(&self, pid: i32) -> Result<()> {
        ensure!(
            process::signal(pid, libc::SIGKILL),
            "worker {pid} is gone before its time"
        );
        Ok(())
    }

    /// `nginx -s SIGNAL`.
    pub async fn send(&self, signal: &str) -> Result<()> {
        let mut command = command(&self.binary, self.prefix.path());
        command
            .args(["-s", signal])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let output = within("nginx -s", command.stderr(Stdio::piped()).output()).await?;
        ensure!(
            output.status.success(),
            "nginx -s {signal}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Waits for the master to exit by itself; it must say success.
    pub async fn exited(&mut self) -> Result<()> {
        let status = within("nginx exits", self.child.wait()).await?;
        ensure!(status.success(), "nginx exited with {status}");
        Ok(())
    }

    /// Stops nginx (fast) and looks through its log.
    pub async fn stop(mut self, allowed: &[&str]) -> Result<()> {
        process::signal(self.master, libc::SIGTERM);
        self.exited().await?;
        self.check_log(allowed)
    }

    /// How many lines of its log hold that text.
    pub fn logged(&self, text: &str) -> usize {
        let log = self.read("logs/error.log");
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// The process id of the master.
    pub fn master(&self) -> i32 {
        self.master
    }

    /// All processes but the master: those that serve, and those that are shutting down.
    pub fn processes(&self) -> Vec<i32> {
        process::children(self.master)
    }

    /// What the error log has got since it was `from` bytes long: whole lines.
    pub fn log_from(&self, from: u64) -> Result<String> {
        let mut file = std::fs::File::open(self.prefix.path().join("logs/error.log"))?;
        file.seek(SeekFrom::Start(from))?;
        let mut raw = Vec::new();
        file.read_to_end(&mut raw)?;
        let end = raw
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        raw.truncate(end);
        Ok(String::from_utf8_lossy(&raw).into_owned())
    }

    /// Fails on any alarming line that holds none of the `allowed` texts.
    pub fn check_log(&self, allowed: &[&str]) -> Result<()> {
        let mut log = self.read("logs/error.log");
        log.push_str(&self.read("logs/stderr"));
        let bad = alarming(&log, allowed);
        ensure!(
            bad.is_empty(),
            "{} alarming lines in error.log, first: {}",
            bad.len(),
            bad.first().unwrap_or(&"")
        );
        Ok(())
    }

    fn read(&self, file: &str) -> String {
        let raw = std::fs::read(self.prefix.path().join(file)).unwrap_or_default();
        String::from_utf8_lossy(&raw).into_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let workers = process::children(self.master);
        process::signal(self.master, libc::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("nginx {} does not end: killed", self.master);
        process::signal(self.master, libc::SIGKILL);
        for worker in workers {
            process::signal(worker, libc::SIGKILL);
        }
        let _ = self.child.try_wait();
    }
}

/// Starts nginx in the foreground; it ends even when this process is killed.
fn spawn(binary: &Path, prefix: &Path) -> Result<(Child, i32)> {
    let stderr = std::fs::File::options()
        .create(true)
        .append(true)
        .open(prefix.join("logs/stderr"))?;
    let mut command = command(binary, prefix);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    // SAFETY: prctl is async-signal-safe and takes integers only.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    let child = command
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let master = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .context("nginx has ended")?;
    Ok((child, master))
}

fn command(binary: &Path, prefix: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .arg("-p")
        .arg(prefix)
        .args(["-c", "conf/nginx.conf", "-e", "logs/error.log"]);
    command
}

/// The lines of a log that no healthy server writes.
pub fn alarming<'a>(log: &'a str, allowed: &[&str]) -> Vec<&'a str> {
    const SIGNS: [&str; 5] = ["[alert]", "[crit]", "[emerg]", "panicked", "open socket #"];
    log.lines()
        .filter(|line| SIGNS.iter().any(|sign| line.contains(sign)))
        .filter(|line| !allowed.iter().any(|text| line.contains(text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::alarming;

    #[test]
    fn alarms_are_found_and_allowed_ones_left_out() {
        let log = "1 [notice] start\n2 [alert] worker process 7 exited on signal 9\n3 [crit] x\n";
        assert_eq!(alarming(log, &["exited on signal 9"]), ["3 [crit] x"]);
    }
}
