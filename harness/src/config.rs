//! The configuration a check runs nginx with.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// One `icomet_hub` with its locations: `/NAME/` for subscribers, `/NAME-admin/` for back ends.
#[derive(Debug, Clone)]
pub struct Hub {
    name: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Hub {
    /// A hub with the module's defaults.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            settings: Vec::new(),
        }
    }

    /// Sets one directive, in the place of an earlier value.
    pub fn set(mut self, directive: &'static str, value: impl ToString) -> Self {
        self.settings.retain(|(name, _)| *name != directive);
        self.settings.push((directive, value.to_string()));
        self
    }
}

/// What differs between the checks' configurations.
#[derive(Debug, Clone)]
pub struct Config {
    /// `worker_processes`
    pub workers: usize,
    hubs: Vec<Hub>,
    /// More parameters of `listen`, each with a blank before it.
    pub listen: &'static str,
    /// More directives of the `http` block.
    pub http: &'static str,
    /// More of the `server` block.
    pub server: &'static str,
}

impl Config {
    /// So many workers and these hubs.
    pub fn new(workers: usize, hubs: impl IntoIterator<Item = Hub>) -> Self {
        Self {
            workers,
            hubs: hubs.into_iter().collect(),
            listen: "",
            http: "",
            server: "",
        }
    }

    /// The text of nginx.conf.
    pub fn render(&self, module: &Path, address: SocketAddr, files: u64) -> String {
        let mut text = String::new();
        // SAFETY: geteuid has no preconditions and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let _ = write!(
            text,
            "load_module {module};\n{user}\
             daemon off;\nmaster_process on;\nworker_processes {workers};\n\
             worker_rlimit_nofile {files};\n\
             pid logs/nginx.pid;\nerror_log logs/error.log notice;\n\
             events {{ worker_connections {connections}; }}\n\
             http {{\n\
             access_log off;\n\
             keepalive_timeout 600s;\nkeepalive_requests 100000000;\n\
             types_hash_max_size 2048;\n{http}",
            module = module.display(),
            // The temporary prefix is the caller's alone.
            user = if root { "user root;\n" } else { "" },
            workers = self.workers,
            http = self.http,
            connections = files.saturating_sub(100).clamp(512, 15_000),
        );
        for hub in &self.hubs {
            let _ = writeln!(text, "icomet_hub {} {{", hub.name);
            for (directive, value) in &hub.settings {
                let _ = writeln!(text, "    {directive} {value};");
            }
            text.push_str("}\n");
        }
        // reuseport deals connections out evenly, so that each worker has its share.
        let _ = write!(
            text,
            "server {{\nlisten {address} reuseport backlog=4096{listen};\n\
             add_header X-Worker $pid always;\n\
             location = /status {{ stub_status; }}\n",
            listen = self.listen
        );
        for Hub { name, .. } in &self.hubs {
            let _ = write!(
                text,
                "location ~ ^/{name}/ {{ icomet_sub {name}; }}\n\
                 location ~ ^/{name}-admin/ {{ allow 127.0.0.1; deny all; icomet_pub {name}; }}\n"
            );
        }
        text.push_str(self.server);
        text.push_str("}\n}\n");
        text
    }
}
