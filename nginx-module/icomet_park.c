/*
 * Parking: a request is given back to nginx while its client waits, and only
 * the connection is kept; to end, a fresh request is made on it.  What nginx
 * itself does for an idle keepalive connection is the model
 * (ngx_http_set_keepalive() in ngx_http_request.c).
 */

#include "icomet_shim.h"


/*
 * ngx_http_request_handler() is static in nginx; every request that can be
 * parked has it on its connection's events.  A worker that has parked nobody
 * yet, and gets a parked connection from another, is told it: all workers are
 * forks of one process, so it has one address in all of them.
 */

static ngx_event_handler_pt  icomet_request_handler;


uintptr_t
icomet_request_handler_known(void)
{
    return (uintptr_t) icomet_request_handler;
}


void
icomet_request_handler_tell(uintptr_t address)
{
    icomet_request_handler = (ngx_event_handler_pt) address;
}


/* Whether a cleanup belongs to somebody else than this request's context. */

static ngx_uint_t
icomet_has_foreign_cleanup(ngx_http_request_t *r, void *ctx)
{
    ngx_http_cleanup_t  *cln;
    ngx_pool_cleanup_t  *pcln;

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler && cln->data != ctx) {
            return 1;
        }
    }

    for (pcln = r->pool->cleanup; pcln; pcln = pcln->next) {
        if (pcln->handler && pcln->data != ctx) {
            return 1;
        }
    }

    return 0;
}


/*
 * Parked bytes pass by the filters, so nothing that must see or delay them may
 * be in the way; and whatever hangs on the request would end with it.
 */

ngx_uint_t
icomet_request_can_park(ngx_http_request_t *r)
{
    ngx_connection_t          *c;
    ngx_http_core_loc_conf_t  *clcf;

    c = r->connection;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r != r->main || r->method != NGX_HTTP_GET
        || r->http_version < NGX_HTTP_VERSION_10 || icomet_request_is_stream(r))
    {
        return 0;
    }

    /* somebody else works on it, or its body is still arriving */

    if (r->count != 1 || r->blocked || r->aio || r->posted_requests
        || r->postponed || r->discard_body || r->reading_body
        || r->header_in->pos != r->header_in->last)
    {
        return 0;
    }

    /* its head is still being sent */

    if (r->buffered || c->buffered || r->out || c->error || c->close
        || c->read->timer_set || c->write->timer_set || c->write->delayed)
    {
        return 0;
    }

    /* limit_rate, and filters that change the body */

    if (clcf->limit_rate || r->limit_rate || r->filter_need_in_memory
        || r->filter_need_temporary
        || (r->headers_out.content_encoding
            && r->headers_out.content_encoding->value.len))
    {
        return 0;
    }

    return !icomet_has_foreign_cleanup(r, icomet_request_ctx(r));
}


/* The strings stay the request's. */

void
icomet_request_describe(ngx_http_request_t *r, icomet_kept_t *kept)
{
    kept->http_connection = r->http_connection;
    kept->srv_conf = r->srv_conf;
    kept->loc_conf = r->loc_conf;
    kept->start_sec = r->start_sec;
    kept->start_msec = r->start_msec;
    kept->request_length = r->request_length;
    kept->header_size = r->header_size;
    kept->err_status = r->err_status;
    kept->http_version = r->http_version;
    kept->keepalive = r->keepalive;
    kept->head_sent = r->header_sent;
    kept->chunked = r->chunked;
    kept->upgraded = (r->headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS);
    kept->request_line = r->request_line;
    kept->unparsed_uri = r->unparsed_uri;
    kept->uri = r->uri;
    kept->args = r->args;
}


static void
icomet_free_header_buffers(ngx_connection_t *c, ngx_http_connection_t *hc)
{
    size_t        size;
    ngx_buf_t    *b;
    ngx_uint_t    i;
    ngx_chain_t  *cl, *ln, **lists[2];

    b = c->buffer;
    size = b->end - b->start;

    if (ngx_pfree(c->pool, b->start) == NGX_OK) {

        /*
         * ngx_http_keepalive_handler() allocates it anew when pos is NULL, with
         * the size that start and end tell.  No freed memory is named here:
         * ngx_http_set_keepalive() will want to free it once more.
         */

        b->start = NULL;
        b->pos = NULL;
        b->last = NULL;
        b->end = b->start + size;

    } else {
        b->pos = b->start;
        b->last = b->start;
    }

    lists[0] = &hc->free;
    lists[1] = &hc->busy;

    for (i = 0; i < 2; i++) {
        for (cl = *lists[i]; cl; /* void */) {
            ln = cl;
            cl = cl->next;
            ngx_pfree(c->pool, ln->buf->start);
            ngx_free_chain(c->pool, ln);
        }

        *lists[i] = NULL;
    }

    hc->nbusy = 0;
}


/*
 * Gives the request back without a line in the log, and keeps its connection,
 * whose events lead to the handlers; c->data is the caller's from here on.
 */

ngx_connection_t *
icomet_request_park(ngx_http_request_t *r, void *data,
    ngx_event_handler_pt on_read, ngx_event_handler_pt on_write)
{
    int                        tcp_nodelay;
    ngx_connection_t          *c;
    ngx_http_connection_t     *hc;
    ngx_http_core_loc_conf_t  *clcf;

    c = r->connection;
    hc = r->http_connection;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    icomet_request_handler = c->read->handler;

    /* for the request that will be made to end it */
    if (r->stat_writing) {
        icomet_stat_add(ngx_stat_writing, 1);
    }

    r->logged = 1;
    ngx_http_free_request(r, 0);

    c->data = data;
    c->destroyed = 0;
    c->idle = 1;
    c->read->handler = on_read;
    c->write->handler = on_write;
    c->log->action = "waiting for messages";

    icomet_free_header_buffers(c, hc);

    icomet_connection_free_tls_buffer(c);

    tcp_nodelay = 1;

    if (c->tcp_nopush == NGX_TCP_NOPUSH_SET) {
        /* what fails here fails at the next send as well */
        (void) ngx_tcp_push(c->fd);
        c->tcp_nopush = NGX_TCP_NOPUSH_UNSET;
        tcp_nodelay = ngx_tcp_nodelay_and_tcp_nopush ? 1 : 0;
    }

    if (tcp_nodelay && clcf->tcp_nodelay) {
        (void) ngx_tcp_nodelay(c);
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    return c;
}


ngx_int_t
icomet_copy(ngx_pool_t *pool, ngx_str_t *to, const ngx_str_t *from)
{
    to->len = from->len;
    to->data = ngx_pnalloc(pool, from->len);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);

    return NGX_OK;
}


/*
 * A fresh request on a parked connection, as far on its way as the one that was
 * parked.  NULL: nginx had no memory, and the connection was closed.
 */

ngx_http_request_t *
icomet_connection_unpark(ngx_connection_t *c, const icomet_kept_t *kept)
{
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    static ngx_str_t  method = ngx_string("GET");
    static ngx_str_t  http10 = ngx_string("HTTP/1.0");
    static ngx_str_t  http11 = ngx_string("HTTP/1.1");

    c->data = kept->http_connection;
    c->idle = 0;

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    r = ngx_http_create_request(c);
    if (r == NULL) {
        goto failed;
    }

    /* it is no new request, and it was writing all the time */

    c->requests--;
    c->data = r;
    c->destroyed = 0;

    icomet_stat_add(ngx_stat_requests, -1);
    icomet_stat_add(ngx_stat_reading, -1);
    r->stat_reading = 0;
    r->stat_writing = 1;

    r->srv_conf = kept->srv_conf;
    r->loc_conf = kept->loc_conf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    ngx_set_connection_log(c, clcf->error_log);

    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;
    r->valid_location = 1;
    r->method = NGX_HTTP_GET;
    r->method_name = method;
    r->http_version = kept->http_version;
    r->http_major = 1;
    r->http_minor = (kept->http_version == NGX_HTTP_VERSION_10) ? 0 : 1;
    r->http_protocol = r->http_minor ? http11 : http10;
    r->start_sec = kept->start_sec;
    r->start_msec = kept->start_msec;
    r->request_length = kept->request_length;
    r->keepalive = kept->keepalive ? 1 : 0;
    r->err_status = kept->err_status;
    r->lingering_close = kept->upgraded ? 1 : 0;

    if (kept->head_sent) {
        r->headers_out.status = kept->upgraded ? NGX_HTTP_SWITCHING_PROTOCOLS
                                               : NGX_HTTP_OK;
        r->header_sent = 1;
        r->header_size = kept->header_size;

    } else {
        c->sent = 0;
    }

    c->read->handler = icomet_request_handler;
    c->write->handler = icomet_request_handler;

    if (icomet_copy(r->pool, &r->request_line, &kept->request_line) != NGX_OK
        || icomet_copy(r->pool, &r->unparsed_uri, &kept->unparsed_uri) != NGX_OK
        || icomet_copy(r->pool, &r->uri, &kept->uri) != NGX_OK
        || icomet_copy(r->pool, &r->args, &kept->args) != NGX_OK)
    {
        ngx_http_free_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        ngx_http_close_connection(c);
        return NULL;
    }

    return r;

failed:

    icomet_stat_add(ngx_stat_writing, -1);

    ngx_http_close_connection(c);

    return NULL;
}


/* The variables that the configuration uses have an index each. */

static ngx_uint_t
icomet_indexed_variable(ngx_http_core_main_conf_t *cmcf, ngx_uint_t index,
    ngx_str_t *name, ngx_uint_t *flags)
{
    ngx_http_variable_t  *v;

    if (cmcf == NULL || index >= cmcf->variables.nelts) {
        return 0;
    }

    v = cmcf->variables.elts;
    *name = v[index].name;
    *flags = v[index].flags;

    return 1;
}


ngx_uint_t
icomet_variable_at(ngx_http_request_t *r, ngx_uint_t index, ngx_str_t *name,
    ngx_uint_t *flags)
{
    return icomet_indexed_variable(
               ngx_http_get_module_main_conf(r, ngx_http_core_module),
               index, name, flags);
}


/* The same of the configuration that this process runs. */

ngx_uint_t
icomet_cycle_variable_at(ngx_uint_t index, ngx_str_t *name, ngx_uint_t *flags)
{
    return icomet_indexed_variable(
               ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                                   ngx_http_core_module),
               index, name, flags);
}


/* The value, if there is one; without evaluate, only one that is known. */

ngx_uint_t
icomet_variable_get(ngx_http_request_t *r, ngx_uint_t index,
    ngx_uint_t evaluate, ngx_str_t *value)
{
    ngx_http_variable_value_t  *v;

    v = evaluate ? ngx_http_get_indexed_variable(r, index)
                 : &r->variables[index];

    if (v == NULL || !v->valid || v->not_found) {
        return 0;
    }

    value->len = v->len;
    value->data = v->data;

    return 1;
}


ngx_int_t
icomet_variable_restore(ngx_http_request_t *r, ngx_uint_t index,
    const ngx_str_t *value)
{
    ngx_str_t                   copy;
    ngx_http_variable_value_t  *v;

    if (icomet_copy(r->pool, &copy, value) != NGX_OK) {
        return NGX_ERROR;
    }

    v = &r->variables[index];
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = copy.len;
    v->data = copy.data;

    return NGX_OK;
}
