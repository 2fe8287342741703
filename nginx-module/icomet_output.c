/*
 * Sending through nginx's filters, and waiting until the client takes more.
 */

#include "icomet_shim.h"


/*
 * The bytes stay the caller's and must not change until
 * icomet_output_pending() is 0; only then may the same output be used again.
 */

ngx_int_t
icomet_output_send(ngx_http_request_t *r, icomet_output_t *output,
    u_char *start, u_char *end, ngx_uint_t flags)
{
    ngx_buf_t  *b;

    b = &output->buf;
    ngx_memzero(b, sizeof(ngx_buf_t));

    if (start != end) {
        b->start = start;
        b->pos = start;
        b->last = end;
        b->end = end;
        b->memory = 1;
    }

    b->flush = (flags & ICOMET_OUTPUT_FLUSH) ? 1 : 0;

    if (flags & ICOMET_OUTPUT_LAST) {
        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;
    }

    if (start == end && !b->last_buf && !b->flush) {
        b->sync = 1;
    }

    output->link.buf = b;
    output->link.next = NULL;

    return ngx_http_output_filter(r, &output->link);
}


ngx_uint_t
icomet_output_pending(ngx_http_request_t *r)
{
    return r->buffered || r->connection->buffered || r->out != NULL
           || (r->postponed && r == r->connection->data);
}


/* Asks for a write event, or for an error after send_timeout without one. */

ngx_int_t
icomet_output_wait(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r->main, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    return ngx_handle_write_event(wev, clcf->send_lowat);
}


void
icomet_output_done(ngx_http_request_t *r)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }
}


ngx_uint_t
icomet_output_timed_out(ngx_http_request_t *r)
{
    if (!r->connection->write->timedout) {
        return 0;
    }

    r->connection->timedout = 1;

    return 1;
}
