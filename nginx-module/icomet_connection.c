/*
 * A parked connection: sending, waiting until its client takes more, and what
 * its client does meanwhile.
 */

#include "icomet_shim.h"

/* Beside what the shim tells Rust: nothing is to be done. */
#define ICOMET_READ_NOTHING  0


/* How many bytes of these the kernel, or the TLS layer, took; or an nginx code. */

ssize_t
icomet_connection_send(ngx_connection_t *c, const u_char *data, size_t len)
{
    return c->send(c, (u_char *) data, len);
}


/* Asks for a write event, or for one that timed out after send_timeout. */

ngx_int_t
icomet_connection_wait(ngx_connection_t *c, void **loc_conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = loc_conf[ngx_http_core_module.ctx_index];

    ngx_add_timer(c->write, clcf->send_timeout);

    return ngx_handle_write_event(c->write, clcf->send_lowat);
}


/* Runs the write handler, as if the client could take more. */

void
icomet_connection_write_soon(ngx_connection_t *c)
{
    ngx_post_event(c->write, &ngx_posted_next_events);
}


void
icomet_connection_sent(ngx_connection_t *c)
{
    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }
}


ngx_uint_t
icomet_connection_timed_out(ngx_connection_t *c)
{
    if (!c->write->timedout) {
        return 0;
    }

    c->timedout = 1;

    return 1;
}


/*
 * What the first block of the connection's pool has left, some 100 bytes of
 * connection_pool_size.  Nothing is allocated from it while no request is
 * there, so it can hold bytes as long as the connection is parked.
 */

size_t
icomet_connection_slack(ngx_connection_t *c, u_char **start)
{
    *start = c->pool->d.last;

    return c->pool->d.end - c->pool->d.last;
}


/* With c->error set, TLS does not say good-bye to who is gone either. */

static ngx_uint_t
icomet_gone(ngx_connection_t *c, ngx_err_t err)
{
    c->read->eof = 1;
    c->error = 1;

    if (err) {
        c->read->error = 1;
    }

    ngx_log_error(NGX_LOG_INFO, c->log, err,
                  "client prematurely closed connection");

    return ICOMET_READ_GONE;
}


static ngx_uint_t
icomet_closing(ngx_connection_t *c)
{
    if (c->error) {
        /* worker_shutdown_timeout has passed */
        return ICOMET_READ_GONE;
    }

    /* else the request made to end it would be cut at its next event */
    c->close = 0;

    return ICOMET_READ_EXITING;
}


/*
 * Takes what the client has sent.  With size 0 only the worker's exit is told,
 * and the client has to wait until it is read from again.
 */

ngx_uint_t
icomet_connection_receive(ngx_connection_t *c, u_char *data, size_t size,
    size_t *received)
{
    ssize_t  n;

    *received = 0;

    if (c->close) {
        return icomet_closing(c);
    }

    n = size ? c->recv(c, data, size) : NGX_AGAIN;

    if (n == NGX_AGAIN) {
        return ngx_handle_read_event(c->read, 0) == NGX_OK
               ? ICOMET_READ_NOTHING : icomet_gone(c, 0);
    }

    if (n <= 0) {
        return icomet_gone(c, 0);
    }

    *received = n;

    return ICOMET_READ_DATA;
}


/* Runs the read handler in the next turn of the loop, as if something had come. */

void
icomet_connection_read_soon(ngx_connection_t *c)
{
    ngx_post_event(c->read, &ngx_posted_next_events);
}


/*
 * What a read event on a parked connection means.  With keep, bytes that the
 * client sent are left where they are, for its next request.
 */

ngx_uint_t
icomet_connection_read(ngx_connection_t *c, ngx_uint_t keep)
{
    u_char        buf[1];
    ssize_t       n;
    ngx_err_t     err;
    socklen_t     len;
    ngx_event_t  *rev;

    rev = c->read;

    if (c->close) {
        return icomet_closing(c);
    }

    if (rev->pending_eof) {
        err = 0;
        len = sizeof(ngx_err_t);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len)
            == -1)
        {
            err = ngx_socket_errno;
        }

        return icomet_gone(c, err);
    }

    if (!icomet_connection_is_plain(c)) {
        if (keep) {
            return ICOMET_READ_NOTHING;
        }

        n = c->recv(c, buf, 1);

        if (n == NGX_AGAIN) {
            return ngx_handle_read_event(rev, 0) == NGX_OK
                   ? ICOMET_READ_NOTHING : icomet_gone(c, 0);
        }

        return n > 0 ? ICOMET_READ_DATA : icomet_gone(c, 0);
    }

    n = recv(c->fd, (char *) buf, 1, MSG_PEEK);

    if (n == 0) {
        return icomet_gone(c, 0);
    }

    if (n == -1) {
        err = ngx_socket_errno;

        if (err != NGX_EAGAIN) {
            return icomet_gone(c, err);
        }

        rev->ready = 0;

        return ngx_handle_read_event(rev, 0) == NGX_OK
               ? ICOMET_READ_NOTHING : icomet_gone(c, 0);
    }

    /* else it would be told at each turn of the loop */

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && rev->active) {
        if (ngx_del_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
            return icomet_gone(c, 0);
        }
    }

    return ICOMET_READ_DATA;
}
