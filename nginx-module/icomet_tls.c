/*
 * TLS, HTTP/2 and HTTP/3, of which the nginx that loads this module may have
 * more than the one that it was built with: --with-compat gives the structures
 * the same fields, but what was configured decides what is declared.  So no
 * NGX_HTTP_SSL, NGX_HTTP_V2 or NGX_HTTP_V3 may decide here or anywhere what a
 * connection is; functions of these modules are weak symbols, NULL where nginx
 * has them not.
 */

#include "icomet_shim.h"

/* By a path that is among the include paths whatever was configured. */
#include <v2/ngx_http_v2.h>


extern void ngx_ssl_free_buffer(ngx_connection_t *c) __attribute__((weak));

#if !(NGX_COMPAT)
extern ngx_module_t  ngx_openssl_module __attribute__((weak));
#endif


/*
 * Without --with-compat a connection has fields for TLS only where nginx was
 * configured with it.  nginx compares most of what was configured, but not
 * this: a TLS of stream or mail alone passes.  Then every field behind would be
 * read from the wrong place, so such a module refuses to load.
 */

ngx_int_t
icomet_check_build(ngx_conf_t *cf)
{
#if !(NGX_COMPAT)
    ngx_uint_t  built;

#if (NGX_SSL)
    built = 1;
#else
    built = 0;
#endif

    if (built != (&ngx_openssl_module != NULL)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "icomet was built for an nginx %s TLS and cannot "
                           "tell this one's connections apart: configure with "
                           "the options of \"nginx -V\", or both with "
                           "--with-compat",
                           built ? "with" : "without");
        return NGX_ERROR;
    }
#endif

    return NGX_OK;
}


/* A build that has no such field was let in by an nginx without TLS alone. */

ngx_uint_t
icomet_connection_is_plain(ngx_connection_t *c)
{
#if (NGX_SSL || NGX_COMPAT)
    return c->ssl == NULL;
#else
    return 1;
#endif
}


/* Of HTTP/2 or HTTP/3: its connection is not its own. */

ngx_uint_t
icomet_request_is_stream(ngx_http_request_t *r)
{
    if (r->stream) {
        return 1;
    }

#if (nginx_version >= 1025000 && (NGX_QUIC || NGX_COMPAT))
    if (r->connection->quic) {
        return 1;
    }
#endif

    return 0;
}


/*
 * nginx gives 16 KB to each TLS connection that it writes to, and takes them
 * back when no request is there any more.  A subscriber's request stays, and
 * writes seldom: what is flushed goes at once.
 */

void
icomet_connection_free_tls_buffer(ngx_connection_t *c)
{
    if (!icomet_connection_is_plain(c) && !c->buffered && ngx_ssl_free_buffer) {
        ngx_ssl_free_buffer(c);
    }
}


void
icomet_request_free_tls_buffer(ngx_http_request_t *r)
{
    ngx_connection_t          *c;
    ngx_http_v2_connection_t  *h2c;

    c = r->connection;

    if (icomet_connection_is_plain(c)) {
        return;
    }

    if (r->stream) {
        /* the stream's is a copy, and what waits is known to the original */

        h2c = r->stream->connection;

        if (h2c->last_out) {
            return;
        }

        c = h2c->connection;

    } else if (icomet_request_is_stream(r)) {
        return;
    }

    icomet_connection_free_tls_buffer(c);
}
