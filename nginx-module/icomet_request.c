/*
 * A request's context, header fields, flags and body.
 */

#include "icomet_shim.h"

extern ngx_module_t  ngx_http_icomet_module;


void *
icomet_request_ctx(ngx_http_request_t *r)
{
    return ngx_http_get_module_ctx(r, ngx_http_icomet_module);
}


void
icomet_request_set_ctx(ngx_http_request_t *r, void *ctx)
{
    ngx_http_set_ctx(r, ctx, ngx_http_icomet_module);
}


void *
icomet_request_loc_conf(ngx_http_request_t *r)
{
    return ngx_http_get_module_loc_conf(r, ngx_http_icomet_module);
}


void *
icomet_request_main_conf(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_icomet_module);
}


ngx_uint_t
icomet_request_is_main(ngx_http_request_t *r)
{
    return r == r->main;
}


/*
 * Has the kernel end the connection when what was sent on it stays without an
 * acknowledgement for so long, as that to a client that has vanished does, or
 * when its client takes nothing for so long.  It costs nothing while nothing is
 * under way.  A connection of HTTP/2 keeps the shortest time that was asked for.
 * Where the socket is not one of TCP (unix:, HTTP/3) the kernel knows no such
 * option, and there is nothing to do.
 */

void
icomet_request_bound_silence(ngx_http_request_t *r, ngx_msec_t timeout)
{
#ifdef TCP_USER_TIMEOUT
    socklen_t          len;
    unsigned int       value, current;
    ngx_connection_t  *c;

    c = r->connection;
    value = (unsigned int) timeout;

    if (icomet_request_is_stream(r)) {
        len = sizeof(current);

        if (getsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &current, &len)
            == 0
            && current != 0 && current <= value)
        {
            return;
        }
    }

    if (setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value))
        == -1)
    {
        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, c->log, ngx_socket_errno,
                       "icomet TCP_USER_TIMEOUT was not set");
    }
#endif
}


/*
 * The subscription ends, and its connection may serve another request, whose
 * client may be as slow as nginx lets it.  On the others the last bytes are
 * still bounded, and HTTP/2 may have more subscribers.
 */

void
icomet_request_unbound_silence(ngx_http_request_t *r)
{
#ifdef TCP_USER_TIMEOUT
    unsigned int  value;

    if (!r->header_sent || !r->keepalive || icomet_request_is_stream(r)) {
        return;
    }

    value = 0;

    (void) setsockopt(r->connection->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value,
                      sizeof(value));
#endif
}


/*
 * A client that went away together with its request has used up the read event:
 * the handlers set for the held request must see it (as ngx_http_upstream does).
 */

void
icomet_request_hold(ngx_http_request_t *r)
{
    r->main->count++;

    if (r->connection->read->ready) {
        ngx_post_event(r->connection->read, &ngx_posted_events);
    }

    icomet_request_free_tls_buffer(r);
}


/*
 * A request that was put off is asked for once more, as the content phase does
 * (ngx_http_core_content_phase), or in the next turn of the loop.
 */

void
icomet_request_go_on(ngx_http_request_t *r, ngx_uint_t later)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    if (later) {
        ngx_post_event(wev, &ngx_posted_next_events);
        return;
    }

    if (wev->posted) {
        ngx_delete_posted_event(wev);
    }

    r->write_event_handler = ngx_http_request_empty_handler;
    ngx_http_finalize_request(r, r->content_handler(r));
}


void
icomet_request_no_keepalive(ngx_http_request_t *r)
{
    r->keepalive = 0;
}


/*
 * The connection speaks another protocol from the answer's head on.  At its end
 * nginx waits for the client to close (lingering_close): what that still sends
 * must not take the last bytes away by a reset.
 */

void
icomet_request_upgrade(ngx_http_request_t *r)
{
    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");
    r->keepalive = 0;
    r->lingering_close = 1;
}


/* What came behind the request's head; it is nobody else's from here on. */

void
icomet_request_take_input(ngx_http_request_t *r, ngx_str_t *input)
{
    input->data = r->header_in->pos;
    input->len = r->header_in->last - r->header_in->pos;
    r->header_in->pos = r->header_in->last;
}


/*
 * The values of the fields of that name, at most max of them; how many there
 * are, at most one more than max.  One pass, whatever the client sends.
 */

ngx_uint_t
icomet_request_headers(ngx_http_request_t *r, const u_char *name, size_t len,
    ngx_str_t **values, ngx_uint_t max)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash != 0 && h[i].key.len == len
                && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
            {
                if (n == max) {
                    return max + 1;
                }

                values[n++] = &h[i].value;
            }
        }
    }

    return n;
}


/* The body was announced, and is not all there: nginx throws away what comes. */

ngx_uint_t
icomet_request_is_discarding(ngx_http_request_t *r)
{
    return r->discard_body;
}


/* What Content-Length says, -1 where there is none. */

off_t
icomet_request_announced_length(ngx_http_request_t *r)
{
    return r->headers_in.content_length_n;
}


/* A body was read before, by whoever handed the request over. */

ngx_uint_t
icomet_request_has_read_body(ngx_http_request_t *r)
{
    return r->request_body != NULL;
}


/*
 * What a browser says of the page that asks, in one walk: Sec-Fetch-Site,
 * Origin, Referer, Host, whose data is NULL where they were not sent.  Returns
 * whether one of the first three came more than once.
 */

ngx_uint_t
icomet_request_page(ngx_http_request_t *r, ngx_str_t page[4])
{
    ngx_uint_t        i, k, twice;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static const ngx_str_t  names[4] = {
        ngx_string("sec-fetch-site"),
        ngx_string("origin"),
        ngx_string("referer"),
        ngx_string("host")
    };

    ngx_memzero(page, 4 * sizeof(ngx_str_t));
    twice = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash == 0) {
                continue;
            }

            for (k = 0; k < 4; k++) {
                if (h[i].key.len != names[k].len
                    || ngx_strncasecmp(h[i].key.data, names[k].data,
                                       names[k].len)
                       != 0)
                {
                    continue;
                }

                if (page[k].data == NULL) {
                    page[k] = h[i].value;

                } else if (k != 3) {
                    twice = 1;
                }

                break;
            }
        }
    }

    return twice;
}


static ngx_uint_t
icomet_is(const ngx_str_t *key, const char *name, size_t len)
{
    return key->len == len && ngx_memcmp(key->data, name, len) == 0;
}


/*
 * "expires" of nginx adds these fields, and rewrites them where they have a
 * place beside the list.  Here the places name copies that are not in the list:
 * what is sent is what icomet says, and nothing where it says nothing.
 */

static ngx_int_t
icomet_request_protect(ngx_http_request_t *r)
{
    ngx_table_elt_t  *copy;
#if (nginx_version < 1023000)
    ngx_table_elt_t **place;
#endif

    copy = ngx_pcalloc(r->pool, 2 * sizeof(ngx_table_elt_t));
    if (copy == NULL) {
        return NGX_ERROR;
    }

    copy[0].hash = 1;
    ngx_str_set(&copy[0].key, "Expires");
    r->headers_out.expires = &copy[0];

    copy[1].hash = 1;
    ngx_str_set(&copy[1].key, "Cache-Control");

#if (nginx_version >= 1023000)
    r->headers_out.cache_control = &copy[1];
#else
    if (ngx_array_init(&r->headers_out.cache_control, r->pool, 1,
                       sizeof(ngx_table_elt_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    place = ngx_array_push(&r->headers_out.cache_control);
    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = &copy[1];
#endif

    return NGX_OK;
}


/*
 * key and value must live as long as the request.  Fields that nginx's own
 * filters and variables know have a place beside the list.
 */

ngx_int_t
icomet_request_add_header(ngx_http_request_t *r, const ngx_str_t *key,
    const ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key = *key;
    h->value = *value;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    if (icomet_is(key, "ETag", sizeof("ETag") - 1)) {
        r->headers_out.etag = h;
    }

    return NGX_OK;
}


/*
 * A back end that hands its client over by X-Accel-Redirect has left fields of
 * its own answer here.  What they say of caching and coding is not true of ours.
 */

static void
icomet_request_drop_foreign(ngx_http_request_t *r)
{
    ngx_uint_t         i, n;
    ngx_list_part_t   *part;
    ngx_table_elt_t   *h;
    static ngx_str_t   foreign[] = {
        ngx_string("Cache-Control"), ngx_string("Expires"),
        ngx_string("Pragma"), ngx_string("Age"), ngx_string("ETag"),
        ngx_string("Last-Modified"), ngx_string("Content-Encoding"),
        ngx_string("Accept-Ranges")
    };

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            for (n = 0; n < sizeof(foreign) / sizeof(foreign[0]); n++) {
                if (h[i].key.len == foreign[n].len
                    && ngx_strncasecmp(h[i].key.data, foreign[n].data,
                                       foreign[n].len) == 0)
                {
                    h[i].hash = 0;
                }
            }
        }
    }

    ngx_memzero(&r->headers_out.cache_control,
                sizeof(r->headers_out.cache_control));
    r->headers_out.expires = NULL;
    r->headers_out.etag = NULL;
    r->headers_out.last_modified = NULL;
    r->headers_out.last_modified_time = -1;
    r->headers_out.content_encoding = NULL;
    r->headers_out.accept_ranges = NULL;
}


/*
 * length < 0: not known yet, so nginx chunks or closes.  Push answers are never
 * compressed (a deflate state costs 264 KB a stream and delays messages), and
 * the ETag names a position in a channel, so it never makes a 304.
 */

ngx_int_t
icomet_request_set_head(ngx_http_request_t *r, ngx_uint_t status, off_t length,
    const ngx_str_t *type, const ngx_str_t *charset)
{
    icomet_request_drop_foreign(r);
    r->headers_out.status = status;
    r->headers_out.content_length_n = length;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset = *charset;
    r->disable_not_modified = 1;
    r->allow_ranges = 0;
#if (NGX_HTTP_GZIP)
    r->gzip_tested = 1;
    r->gzip_ok = 0;
#endif

    return icomet_request_protect(r);
}


ngx_uint_t
icomet_request_header_only(ngx_http_request_t *r)
{
    return r->header_only;
}


/* nginx has looked this field up already. */

ngx_str_t *
icomet_request_content_type(ngx_http_request_t *r)
{
    return r->headers_in.content_type ? &r->headers_in.content_type->value
                                      : NULL;
}


/* A body that was read whole and stands in memory in one piece, which most do. */

ngx_uint_t
icomet_request_body_whole(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL) {
        return 1;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_size(b) == 0) {
            continue;
        }

        if (body->len != 0 || !ngx_buf_in_memory(b)) {
            return 0;
        }

        body->data = b->pos;
        body->len = b->last - b->pos;
    }

    return 1;
}


off_t
icomet_request_body_length(ngx_http_request_t *r)
{
    off_t         length;
    ngx_chain_t  *cl;

    if (r->request_body == NULL) {
        return 0;
    }

    length = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        length += ngx_buf_size(cl->buf);
    }

    return length;
}


/* Copies a body that was read whole, from memory and from its temporary file. */

ngx_int_t
icomet_request_body_copy(ngx_http_request_t *r, u_char *to, size_t size)
{
    size_t        n;
    ssize_t       rc;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        n = (size_t) ngx_buf_size(b);

        if (n == 0) {
            /* a chunked body ends in a buffer that has neither memory nor file */
            continue;
        }

        if (n > size) {
            return NGX_ERROR;
        }

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(to, b->pos, n);

        } else {
            rc = ngx_read_file(b->file, to, n, b->file_pos);

            if (rc < 0 || (size_t) rc != n) {
                return NGX_ERROR;
            }
        }

        to += n;
        size -= n;
    }

    return size == 0 ? NGX_OK : NGX_ERROR;
}
