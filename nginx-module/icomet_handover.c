/*
 * Hand-over: a parked connection moves to a worker of a newer configuration.
 * The old worker withdraws its descriptor from the event loop and passes it on;
 * the new one makes a connection of it as ngx_event_accept() and
 * ngx_http_init_connection() do.  Both have the descriptor until the old one
 * was told that it is taken; so neither shuts the socket down, they only close.
 */

#include "icomet_shim.h"


static void
icomet_str(ngx_str_t *to, void *data, size_t len)
{
    to->data = data;
    to->len = len;
}


/* What a connection takes along; 0: it cannot move. */

ngx_uint_t
icomet_connection_describe(ngx_connection_t *c, icomet_passage_t *p)
{
    ngx_proxy_protocol_t  *pp;

    if (c->listening == NULL || c->buffered || c->error || c->timedout
        || !icomet_connection_is_plain(c))
    {
        return 0;
    }

    p->fd = c->fd;
    icomet_str(&p->listening, c->listening->sockaddr, c->listening->socklen);
    icomet_str(&p->sockaddr, c->sockaddr, c->socklen);
    p->addr_text = c->addr_text;
    p->number = c->number;
    p->start_time = c->start_time;
    p->requests = c->requests;
    p->sent = c->sent;
    p->tcp_nodelay = c->tcp_nodelay;
    p->tcp_nopush = c->tcp_nopush;

    pp = c->proxy_protocol;
    p->has_proxy_protocol = (pp != NULL);

    if (pp) {
        p->proxy_src_addr = pp->src_addr;
        p->proxy_dst_addr = pp->dst_addr;
        p->proxy_src_port = pp->src_port;
        p->proxy_dst_port = pp->dst_port;
#if (nginx_version >= 1023002)
        p->proxy_tlvs = pp->tlvs;
#endif
    }

    return 1;
}


/*
 * From here on the event loop knows nothing of it.  The descriptor must be taken
 * out by itself: epoll would keep it as long as anybody has the socket open.
 */

void
icomet_connection_withdraw(ngx_connection_t *c)
{
    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    /* an event that was met in this turn must find nobody */

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->handler = ngx_http_empty_handler;
    c->write->handler = ngx_http_empty_handler;

    if (ngx_del_conn) {
        if (c->read->active || c->write->active) {
            (void) ngx_del_conn(c, 0);
        }

        return;
    }

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    }
}


/* Somebody else has it: what this worker holds of it goes, without a word. */

void
icomet_connection_release(ngx_connection_t *c)
{
    icomet_stat_add(ngx_stat_writing, -1);

    c->idle = 0;
    ngx_http_close_connection(c);
}


static ngx_listening_t *
icomet_find_listening(const ngx_str_t *sockaddr)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    ls = ngx_cycle->listening.elts;

    for (i = 0; i < ngx_cycle->listening.nelts; i++) {

        if (ls[i].type != SOCK_STREAM
            || ls[i].handler != ngx_http_init_connection)
        {
            continue;
        }

#if (NGX_HAVE_REUSEPORT)
        if (ls[i].reuseport && ls[i].worker != (ngx_uint_t) ngx_worker) {
            continue;
        }
#endif

        if (ngx_cmp_sockaddr(ls[i].sockaddr, ls[i].socklen,
                             (struct sockaddr *) sockaddr->data,
                             (socklen_t) sockaddr->len, 1)
            == NGX_OK)
        {
            return &ls[i];
        }
    }

    return NULL;
}


static ngx_int_t
icomet_fill_connection(ngx_connection_t *c, ngx_listening_t *ls,
    const icomet_passage_t *p)
{
    ngx_log_t             *log;
    ngx_str_t              sockaddr;
    ngx_proxy_protocol_t  *pp;

    c->sockaddr = ngx_palloc(c->pool, p->sockaddr.len);
    log = ngx_palloc(c->pool, sizeof(ngx_log_t));

    if (c->sockaddr == NULL || log == NULL) {
        return NGX_ERROR;
    }

    sockaddr = p->sockaddr;
    ngx_memcpy(c->sockaddr, sockaddr.data, sockaddr.len);
    c->socklen = (socklen_t) sockaddr.len;

    *log = ls->log;
    log->data = NULL;
    log->handler = NULL;

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;

    c->log = log;
    c->pool->log = log;
    c->read->log = log;
    c->write->log = log;

    c->listening = ls;
    c->local_sockaddr = ls->sockaddr;
    c->local_socklen = ls->socklen;

    c->number = p->number;
    c->start_time = p->start_time;
    c->requests = p->requests;
    c->sent = p->sent;
    c->tcp_nodelay = p->tcp_nodelay;
    c->tcp_nopush = p->tcp_nopush;

    if (icomet_copy(c->pool, &c->addr_text, &p->addr_text) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!p->has_proxy_protocol) {
        return NGX_OK;
    }

    pp = ngx_pcalloc(c->pool, sizeof(ngx_proxy_protocol_t));

    if (pp == NULL
        || icomet_copy(c->pool, &pp->src_addr, &p->proxy_src_addr)
           != NGX_OK
        || icomet_copy(c->pool, &pp->dst_addr, &p->proxy_dst_addr)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

#if (nginx_version >= 1023002)
    if (icomet_copy(c->pool, &pp->tlvs, &p->proxy_tlvs) != NGX_OK) {
        return NGX_ERROR;
    }
#endif

    pp->src_port = p->proxy_src_port;
    pp->dst_port = p->proxy_dst_port;
    c->proxy_protocol = pp;

    return NGX_OK;
}


/* As a parked connection has it; ngx_http_keepalive_handler() allocates it. */

static ngx_int_t
icomet_empty_header_buffer(ngx_connection_t *c, ngx_http_connection_t *hc)
{
    ngx_buf_t                 *b;
    ngx_http_core_srv_conf_t  *cscf;

    b = ngx_calloc_buf(c->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    cscf = ngx_http_get_module_srv_conf(hc->conf_ctx, ngx_http_core_module);

    b->temporary = 1;
    b->end = (u_char *) cscf->client_header_buffer_size;
    c->buffer = b;

    return NGX_OK;
}


/*
 * Makes a connection of a descriptor that was passed on, and owns that from here
 * on if there is one.  NULL: the reason is in *refused; the descriptor is the
 * caller's.
 */

ngx_connection_t *
icomet_connection_adopt(const icomet_passage_t *p, ngx_uint_t *refused)
{
    ngx_connection_t       *c;
    ngx_listening_t        *ls;
    ngx_http_connection_t  *hc;

    *refused = ICOMET_REFUSED_NO_PLACE;

    ls = icomet_find_listening(&p->listening);
    if (ls == NULL) {
        return NULL;
    }

    *refused = ICOMET_REFUSED_FULL;

    /* else ngx_get_connection() would say so in an alert for each */

    if (ngx_cycle->free_connection_n + ngx_cycle->reusable_connections_n
        <= ngx_cycle->connection_n / 64)
    {
        return NULL;
    }

    c = ngx_get_connection(p->fd, ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }

    c->type = SOCK_STREAM;

    icomet_stat_add(ngx_stat_active, 1);

    c->pool = ngx_create_pool(ls->pool_size, ngx_cycle->log);

    if (c->pool == NULL || icomet_fill_connection(c, ls, p) != NGX_OK) {
        goto failed;
    }

    c->write->ready = 1;

    ngx_http_init_connection(c);

    if (c->fd == (ngx_socket_t) -1) {
        /* it was closed, with the descriptor: the old worker has another */
        *refused = ICOMET_REFUSED_CLOSED;
        return NULL;
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_reusable_connection(c, 0);

    hc = c->data;

    icomet_stat_add(ngx_stat_writing, 1);

    if (icomet_empty_header_buffer(c, hc) != NGX_OK) {
        icomet_connection_withdraw(c);
        icomet_connection_release(c);
        *refused = ICOMET_REFUSED_CLOSED;
        return NULL;
    }

    if (hc->ssl) {
        icomet_connection_withdraw(c);
        icomet_connection_release(c);
        *refused = ICOMET_REFUSED_NO_PLACE_CLOSED;
        return NULL;
    }

    hc->proxy_protocol = 0;

    return c;

failed:

    if (c->pool) {
        ngx_destroy_pool(c->pool);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    icomet_stat_add(ngx_stat_active, -1);

    return NULL;
}


/* The connection is parked, and c->data is the caller's. */

void
icomet_connection_settle(ngx_connection_t *c, void *data,
    ngx_event_handler_pt on_read, ngx_event_handler_pt on_write)
{
    c->data = data;
    c->idle = 1;
    c->read->handler = on_read;
    c->write->handler = on_write;
    c->log->action = "waiting for messages";

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


/* What tells a location from the others of its server. */

void
icomet_location_describe(void **srv_conf, void **loc_conf,
    ngx_str_t *server_name, ngx_str_t *name, ngx_uint_t *kind)
{
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = srv_conf[ngx_http_core_module.ctx_index];
    clcf = loc_conf[ngx_http_core_module.ctx_index];

    *server_name = cscf->server_name;
    *name = clcf->name;
    *kind = (clcf->exact_match ? 1 : 0)
            | (clcf->named ? 2 : 0)
            | (clcf->noname ? 4 : 0);

#if (NGX_PCRE)
    if (clcf->regex) {
        *kind |= 8;
    }
#endif
}


/* Whether a server answers where a connection, not settled yet, came to. */

ngx_uint_t
icomet_connection_reaches(ngx_connection_t *c, void **srv_conf)
{
    u_char                    *last, buf[NGX_MAXHOSTNAMELEN];
    ngx_str_t                  name;
    ngx_http_connection_t     *hc;
    ngx_http_core_srv_conf_t  *cscf;
    ngx_http_virtual_names_t  *names;

    hc = c->data;
    cscf = srv_conf[ngx_http_core_module.ctx_index];

    if (cscf == hc->addr_conf->default_server) {
        return 1;
    }

    names = hc->addr_conf->virtual_names;
    name = cscf->server_name;

    if (names == NULL || name.len == 0 || name.len + 2 > sizeof(buf)) {
        return 0;
    }

#if (NGX_PCRE)
    if (name.data[0] == '~') {
        ngx_uint_t               i;
        ngx_http_server_name_t  *sn;

        sn = names->regex;

        for (i = 0; i < names->nregex; i++) {
            if (sn[i].server == cscf) {
                return 1;
            }
        }

        return 0;
    }
#endif

    /* "*.example.com" and "mail.*" are found by a name that they match */

    last = buf;

    if (name.data[0] == '*') {
        *last++ = 'x';
        name.data++;
        name.len--;
    }

    last = ngx_cpymem(last, name.data, name.len);

    if (last[-1] == '*') {
        last[-1] = 'x';
    }

    return ngx_hash_find_combined(&names->names,
                                  ngx_hash_key(buf, last - buf),
                                  buf, last - buf)
           == cscf;
}
