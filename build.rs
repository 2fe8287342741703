//! Compiles the C shim in `nginx-module/` against the nginx that nginx-sys found or built, makes its
//! Rust bindings, and leaves `target/<profile>/nginx-objs` as a link to that nginx's build folder.

use std::env;
use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const SHIM: &str = "nginx-module";
const SOURCES: [&str; 10] = [
    "icomet_ahead.c",
    "icomet_connection.c",
    "icomet_cycle.c",
    "icomet_handover.c",
    "icomet_module.c",
    "icomet_request.c",
    "icomet_output.c",
    "icomet_event.c",
    "icomet_park.c",
    "icomet_tls.c",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SHIM}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // nginx-sys passes the folders with nginx's headers on as metadata of its `links` key.
    let include = env::var("DEP_NGINX_INCLUDE").map_err(|_| {
        "nginx-sys told no include folders: build with the feature \"vendored\", or set \
         NGINX_SOURCE_DIR and NGINX_BUILD_DIR to a configured nginx source"
    })?;
    let include: Vec<PathBuf> = env::split_paths(&include).collect();

    let mut shim = cc::Build::new();
    // What the shim alone is compiled with beside the usual, for a sanitizer build: cc's own CFLAGS
    // would reach the C of other crates too, which is linked into build scripts.
    println!("cargo::rerun-if-env-changed=ICOMET_SHIM_CFLAGS");
    if let Ok(flags) = env::var("ICOMET_SHIM_CFLAGS") {
        for flag in flags.split_whitespace() {
            shim.flag(flag);
        }
    }
    shim.files(SOURCES.iter().map(|source| Path::new(SHIM).join(source)))
        .includes(&include)
        .include(SHIM)
        .warnings(true)
        .flag_if_supported("-Wno-unused-parameter")
        .compile("icomet_shim");

    bindgen::Builder::default()
        .header(format!("{SHIM}/icomet_shim.h"))
        .clang_args(
            include
                .iter()
                .map(|folder| format!("-I{}", folder.display())),
        )
        .allowlist_item("icomet_.*|ICOMET_.*|ngx_http_icomet_module")
        // Of one C file for another; and what is the rest of a list.
        .blocklist_item("icomet_copy|ICOMET_REFUSED_FULL|icomet_connection_free_tls_buffer|icomet_stat_add|icomet_check_build")
        .allowlist_recursively(false)
        // One set of nginx types: those of nginx-sys.
        .raw_line("use nginx_sys::*;")
        .layout_tests(false)
        .generate()?
        .write_to_file(out.join("shim.rs"))?;

    // nginx unloads modules before it exits: what our statics own would count as leaked, and a
    // thread-local destructor that libc has yet to run would be gone.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");

    if let Ok(objs) = env::var("DEP_NGINX_BUILD_DIR") {
        link_objs(&out, Path::new(&objs))?;
    }
    Ok(())
}

/// `target/<profile>/nginx-objs`: OUT_DIR is `target/<profile>/build/<package>-<hash>/out`.
fn link_objs(out: &Path, objs: &Path) -> Result<(), Box<dyn Error>> {
    let profile = out.ancestors().nth(3).ok_or("OUT_DIR is too short")?;
    let link = profile.join("nginx-objs");
    if fs::read_link(&link).is_ok_and(|to| to == objs) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(objs, &link)?;
    Ok(())
}
