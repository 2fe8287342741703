# Adds icomet to `make modules`: objs/ngx_http_icomet_module.so.

icomet_dir=`cd "$ngx_addon_dir" && pwd`
icomet_objs=`cd "$NGX_OBJS" && pwd`

# rm before cp: overwriting a file that a running nginx has mapped would crash it.
cat << END >> $NGX_MAKEFILE

modules:	icomet_module

.PHONY:	icomet_module
icomet_module:
	cd "$icomet_dir" \\
	&& NGINX_SOURCE_DIR="$PWD" NGINX_BUILD_DIR="$icomet_objs" CARGO_TARGET_DIR="$icomet_objs/icomet" \\
		cargo build --release --locked --no-default-features
	rm -f "$icomet_objs/ngx_http_icomet_module.so"
	cp "$icomet_objs/icomet/release/libngx_http_icomet_module.so" \\
		"$icomet_objs/ngx_http_icomet_module.so"

END
