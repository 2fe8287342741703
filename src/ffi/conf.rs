//! What a directive's setter needs of nginx: its arguments, its messages, nginx's own parsers.

use core::ffi::c_char;
use core::ptr::{self, NonNull};

use nginx_sys::{
    ngx_conf_full_name, ngx_conf_t, ngx_http_compile_complex_value,
    ngx_http_compile_complex_value_t, ngx_http_complex_value_t, ngx_parse_offset, ngx_parse_time,
    ngx_pcalloc, ngx_pool_cleanup_add, ngx_str_t,
};

use super::shim;

/// What a setter returns for success.
pub const CONF_OK: *mut c_char = ptr::null_mut();

/// What a setter returns after it has written its message: `(void *) -1` (ngx_conf_file.h).
pub const CONF_ERROR: *mut c_char = ptr::without_provenance_mut(usize::MAX);

/// The configuration file at the place that nginx reads now.
#[derive(Clone, Copy)]
pub struct Conf(NonNull<ngx_conf_t>);

impl Conf {
    /// Wraps what nginx passed to a callback.
    ///
    /// # Safety
    ///
    /// `cf` is the pointer that nginx passed to a configuration callback, used only during it.
    pub unsafe fn from_raw(cf: *mut ngx_conf_t) -> Option<Conf> {
        NonNull::new(cf).map(Conf)
    }

    /// The pointer itself, for a call into nginx.
    pub fn as_ptr(self) -> *mut ngx_conf_t {
        self.0.as_ptr()
    }

    /// The directive and its arguments.
    pub fn arguments(self) -> Vec<&'static [u8]> {
        // SAFETY: nginx fills `args` with ngx_str_t before it calls a setter; their bytes live in
        // the configuration's pool, longer than any use in a setter.
        unsafe {
            let args = (*self.0.as_ptr()).args;
            if args.is_null() {
                return Vec::new();
            }
            let elements = (*args).elts.cast::<ngx_str_t>();
            (0..(*args).nelts)
                .map(|i| bytes(*elements.add(i)))
                .collect()
        }
    }

    /// Writes a configuration error with file and line, and returns what the setter returns.
    pub fn error(self, text: &str) -> *mut c_char {
        // SAFETY: cf is valid during the callback; the text is only read.
        unsafe { shim::icomet_conf_error(self.0.as_ptr(), text.as_ptr(), text.len()) };
        CONF_ERROR
    }

    /// The file and line that are read now, for a message about them later.
    pub fn place(self) -> String {
        // SAFETY: conf_file is null or valid while a file is read.
        unsafe {
            let file = (*self.0.as_ptr()).conf_file;
            if file.is_null() {
                return String::new();
            }
            let name = String::from_utf8_lossy(bytes((*file).file.name)).into_owned();
            format!("{name}:{}", (*file).line)
        }
    }

    /// A file's path as nginx understands it: one that is not absolute begins at the prefix. `None`
    /// when memory is short.
    pub fn full_name(self, path: &[u8]) -> Option<Vec<u8>> {
        let mut name = ngx_str(path);
        // SAFETY: the cycle lives as long as the configuration is read; nginx gives `name` bytes in
        // the cycle's pool.
        unsafe {
            let done = ngx_conf_full_name((*self.0.as_ptr()).cycle, &raw mut name, 0);
            (done == 0).then(|| bytes(name).to_vec())
        }
    }

    /// A Rust value that lives as long as this configuration, dropped with its pool; `None` when
    /// memory is short.
    pub fn keep<T>(self, value: T) -> Option<NonNull<T>> {
        unsafe extern "C" fn drop_kept<T>(data: *mut core::ffi::c_void) {
            // SAFETY: data is the Box that keep() leaked, and nginx runs a cleanup once.
            drop(unsafe { Box::from_raw(data.cast::<T>()) });
        }
        // SAFETY: the pool is valid; the cleanup owns the box from here on.
        unsafe {
            let cleanup = ngx_pool_cleanup_add((*self.0.as_ptr()).pool, 0);
            if cleanup.is_null() {
                return None;
            }
            let kept = Box::into_raw(Box::new(value));
            (*cleanup).data = kept.cast();
            (*cleanup).handler = Some(drop_kept::<T>);
            NonNull::new(kept)
        }
    }

    /// Compiles a value with variables; `Err` after nginx has written its message.
    pub fn complex_value(
        self,
        text: &'static [u8],
    ) -> Result<NonNull<ngx_http_complex_value_t>, ()> {
        // SAFETY: the value and the text live in the configuration's pool; the compile structure
        // is zeroed as nginx's own callers do.
        unsafe {
            let pool = (*self.0.as_ptr()).pool;
            let value = ngx_pcalloc(pool, size_of::<ngx_http_complex_value_t>())
                .cast::<ngx_http_complex_value_t>();
            let Some(value) = NonNull::new(value) else {
                return Err(());
            };
            let mut source = ngx_str_t {
                len: text.len(),
                data: text.as_ptr().cast_mut(),
            };
            let mut compile: ngx_http_compile_complex_value_t = core::mem::zeroed();
            compile.cf = self.0.as_ptr();
            compile.value = &raw mut source;
            compile.complex_value = value.as_ptr();
            if ngx_http_compile_complex_value(&raw mut compile) != 0 {
                return Err(());
            }
            Ok(value)
        }
    }
}

/// The bytes of an nginx string.
///
/// # Safety
///
/// The string's bytes live at least as long as the result is used.
pub unsafe fn bytes(s: ngx_str_t) -> &'static [u8] {
    if s.len == 0 || s.data.is_null() {
        return &[];
    }
    // SAFETY: the caller vouches for data and len.
    unsafe { core::slice::from_raw_parts(s.data, s.len) }
}

fn ngx_str(text: &[u8]) -> ngx_str_t {
    ngx_str_t {
        len: text.len(),
        data: text.as_ptr().cast_mut(),
    }
}

/// A size in nginx's syntax (`2g`, `64m`, `512k`, `1048576`), in bytes; `None` when it is none.
pub fn parse_size(text: &[u8]) -> Option<u64> {
    let mut text = ngx_str(text);
    // SAFETY: ngx_parse_offset only reads the string.
    let size = unsafe { ngx_parse_offset(&raw mut text) };
    u64::try_from(size).ok()
}

/// A time in nginx's syntax (`30s`, `2m`, `500ms`, a bare number means seconds), in milliseconds.
pub fn parse_msec(text: &[u8]) -> Option<u64> {
    let mut text = ngx_str(text);
    // SAFETY: ngx_parse_time only reads the string.
    let time = unsafe { ngx_parse_time(&raw mut text, 0) };
    u64::try_from(time).ok()
}
