/*
 * Timers, posted events and the doorbell's connection.
 */

#include "icomet_shim.h"


/* Events of a worker live as long as its cycle. A cancelable timer does not
 * keep a gracefully exiting worker alive. */

ngx_event_t *
icomet_event_create(ngx_cycle_t *cycle, ngx_event_handler_pt handler,
    ngx_uint_t cancelable)
{
    ngx_event_t       *ev;
    ngx_connection_t  *c;

    /* nginx's timer debugging reads ev->data as a connection. */
    ev = ngx_pcalloc(cycle->pool, sizeof(ngx_event_t));
    c = ngx_pcalloc(cycle->pool, sizeof(ngx_connection_t));
    if (ev == NULL || c == NULL) {
        return NULL;
    }

    c->fd = (ngx_socket_t) -1;
    ev->data = c;
    ev->handler = handler;
    ev->log = cycle->log;
    ev->cancelable = cancelable ? 1 : 0;

    return ev;
}


void
icomet_timer_set(ngx_event_t *ev, ngx_msec_t delay)
{
    ngx_add_timer(ev, delay);
}


/* ngx_add_timer() leaves one that differs by less than 300 ms as it is. */

void
icomet_timer_set_exactly(ngx_event_t *ev, ngx_msec_t delay)
{
    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, delay);
}


ngx_uint_t
icomet_timer_is_set(ngx_event_t *ev)
{
    return ev->timer_set;
}


/*
 * Runs the handler at the end of this turn, after its I/O and timers.  nginx
 * runs what is posted meanwhile in the same turn too, so a handler that posts
 * itself so would keep nginx from new I/O.
 */

void
icomet_post(ngx_event_t *ev)
{
    ngx_post_event(ev, &ngx_posted_events);
}


/* Runs the handler in the next turn of the loop, after new I/O was seen. */

void
icomet_post_next(ngx_event_t *ev)
{
    ngx_post_event(ev, &ngx_posted_next_events);
}


/*
 * The doorbell in the loop: a socket that stays the caller's.  "idle" makes nginx call the handler with c->close when a graceful shutdown starts;
 * "channel" exempts the connection from the "open socket left" alert.
 */

ngx_connection_t *
icomet_doorbell_open(ngx_cycle_t *cycle, int fd, ngx_event_handler_pt handler)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, cycle->log);
    if (c == NULL) {
        return NULL;
    }

    c->pool = cycle->pool;
    c->recv = NULL;
    c->idle = 1;
    c->read->handler = handler;
    c->read->log = cycle->log;
    c->read->channel = 1;
    c->write->channel = 1;
    c->log = cycle->log;

    if (ngx_add_event(c->read, NGX_READ_EVENT,
                      (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                      ? NGX_CLEAR_EVENT : NGX_LEVEL_EVENT)
        != NGX_OK)
    {
        ngx_free_connection(c);
        return NULL;
    }

    return c;
}


/*
 * A socket to another worker in the loop, with c->data the caller's; it is read
 * until there is nothing.  NULL: no connection is free, and the descriptor is
 * the caller's.
 */

ngx_connection_t *
icomet_socket_open(int fd, void *data, ngx_event_handler_pt handler)
{
    ngx_connection_t  *c;

    if (ngx_cycle->free_connection_n == 0) {
        return NULL;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }

    c->data = data;
    c->pool = ngx_cycle->pool;
    c->read->handler = handler;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->read->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(c->read, NGX_READ_EVENT,
                      (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                      ? NGX_CLEAR_EVENT : NGX_LEVEL_EVENT)
        != NGX_OK)
    {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NULL;
    }

    return c;
}


/* Runs its handler once more, in the next turn of the loop. */

void
icomet_socket_again(ngx_connection_t *c)
{
    ngx_post_event(c->read, &ngx_posted_next_events);
}


void
icomet_socket_close(ngx_connection_t *c)
{
    ngx_close_connection(c);
}


ngx_uint_t
icomet_connection_closing(ngx_connection_t *c)
{
    return c->close;
}
