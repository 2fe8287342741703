//! The configurations that the servers are started with.

use std::path::Path;

use crate::target::Kind;

/// What varies between measurements.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Worker processes, or the floor's threads.
    pub workers: usize,
    /// `worker_connections`.
    pub connections: usize,
    /// Megabytes of shared memory.
    pub zone: usize,
    /// Whether requests are logged, to a file in the prefix.
    pub access_log: bool,
}

impl Shape {
    /// The usual one.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            connections: 19_500,
            zone: 256,
            access_log: false,
        }
    }
}

/// An nginx.conf for a module on a port.
pub fn nginx(kind: Kind, module: &Path, port: u16, shape: &Shape) -> String {
    let Shape {
        workers,
        connections,
        zone,
        access_log,
    } = shape;
    let access_log = if *access_log {
        "logs/access.log"
    } else {
        "off"
    };
    let (main, server) = match kind {
        Kind::Nchan => nchan(*zone),
        _ => icomet(*zone),
    };
    // Workers that start as root drop to `nobody` otherwise, who may not read the module's prefix.
    // SAFETY: takes nothing, touches nothing.
    let user = if unsafe { libc::geteuid() } == 0 {
        "user root;\n"
    } else {
        ""
    };
    format!(
        "load_module {module};
{user}daemon off;
pid logs/nginx.pid;
error_log logs/error.log warn;
worker_processes {workers};
events {{
    worker_connections {connections};
}}
http {{
    access_log {access_log};
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
{main}    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
{server}    }}
}}
",
        module = module.display()
    )
}

fn icomet(zone: usize) -> (String, String) {
    let main = format!(
        "    icomet_hub main {{
        zone {zone}m;
        max_channels 2000000;
        max_subscribers_per_channel 2000000;
        channel_buffer_size 10;
        channel_timeout 600s;
        polling_timeout 600s;
    }}
"
    );
    let server = "        location /icomet/ { icomet_sub; }
        location /icomet-admin/ { icomet_pub; }
";
    (main, server.to_owned())
}

fn nchan(zone: usize) -> (String, String) {
    let main = format!(
        "    nchan_max_reserved_memory {zone}m;
    nchan_message_buffer_length 10;
    nchan_message_timeout 600s;
"
    );
    let mut server = String::from(
        "        location = /pub { nchan_publisher http; nchan_channel_id $arg_id; }
        location = /pub-deflate {
            nchan_publisher http; nchan_channel_id $arg_id; nchan_deflate_message_for_websocket on;
        }
",
    );
    for (path, transport) in [
        ("sse", "eventsource"),
        ("stream", "http-raw-stream"),
        ("poll", "longpoll"),
        ("ws", "websocket"),
    ] {
        server.push_str(&format!(
            "        location = /{path} {{ nchan_subscriber {transport}; nchan_channel_id $arg_id; }}\n"
        ));
    }
    (main, server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_given_the_same_but_for_their_own() {
        let module = Path::new("/m.so");
        let ours = nginx(Kind::Icomet, module, 80, &Shape::new(2));
        let theirs = nginx(Kind::Nchan, module, 80, &Shape::new(2));
        for text in [&ours, &theirs] {
            assert!(text.contains("worker_processes 2;"));
            assert!(text.contains("access_log off;"));
            assert!(text.contains("listen 127.0.0.1:80 reuseport"));
        }
        assert!(ours.contains("zone 256m;"));
        assert!(theirs.contains("nchan_max_reserved_memory 256m;"));
    }
}
