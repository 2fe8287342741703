/*
 * Memory asked for ahead of its use: what is known of a hundred thousand waiting
 * clients is in no cache when they are sent something, and each line of it
 * costs as much as some hundred instructions.  These are hints; they change
 * nothing.
 */

#include "icomet_shim.h"

#define ICOMET_LINE  64


static ngx_inline void
icomet_ask(const void *start, size_t size)
{
    size_t  at;

    for (at = 0; at < size; at += ICOMET_LINE) {
        __builtin_prefetch((const u_char *) start + at, 1);
    }
}


/* A held request, but for what was only needed to parse it. */

void
icomet_request_ask(ngx_http_request_t *r)
{
    icomet_ask(r, offsetof(ngx_http_request_t, headers_in));
    icomet_ask(&r->headers_out, offsetof(ngx_http_request_t, state)
                                - offsetof(ngx_http_request_t, headers_out));
}


/* What it leads to; its own lines have been asked for. */

void
icomet_request_ask_further(ngx_http_request_t *r)
{
    icomet_connection_ask(r->connection);
    icomet_ask(r->pool, sizeof(ngx_pool_t));
    icomet_ask(&r->ctx[ngx_http_icomet_module.ctx_index], sizeof(void *));
}


void
icomet_connection_ask(ngx_connection_t *c)
{
    icomet_ask(c, sizeof(ngx_connection_t));
}


void
icomet_connection_ask_further(ngx_connection_t *c)
{
    icomet_ask(c->write, sizeof(ngx_event_t));
}
