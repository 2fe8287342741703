/*
 * What nginx offers to C alone: bitfields, macros, inline functions, variadic
 * functions, and the module and command tables.  Everything else is in Rust.
 *
 * Rust neither reads nor writes a bitfield of nginx's structures: their layout
 * differs between versions and builds, and only the C compiler that sees the
 * same headers as nginx gets it right.
 */

#ifndef ICOMET_SHIM_H
#define ICOMET_SHIM_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>


/* Named by Rust, because rustc hides the symbols that only C defines. */
extern ngx_module_t  ngx_http_icomet_module;


/* icomet_module.c: log and configuration messages (text is not NUL-terminated) */

void icomet_log(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const u_char *text, size_t len);
void icomet_conf_error(ngx_conf_t *cf, const u_char *text, size_t len);
void *icomet_main_conf(ngx_conf_t *cf);
void icomet_set_content_handler(ngx_conf_t *cf, ngx_http_handler_pt handler);
ngx_int_t icomet_add_log_handler(ngx_conf_t *cf, ngx_http_handler_pt handler);
ngx_uint_t icomet_is_block_in_location(ngx_conf_t *cf);
void icomet_set_limit_except_handler(ngx_conf_t *cf,
    ngx_http_handler_pt handler);
ngx_uint_t icomet_has_content_handler(ngx_conf_t *cf);
ngx_uint_t icomet_content_handler_is(ngx_conf_t *cf,
    ngx_http_handler_pt handler);
ngx_module_t *icomet_module(void);
void *icomet_cycle_main_conf(ngx_cycle_t *cycle);
void icomet_variable_set(ngx_http_variable_value_t *v, const u_char *data,
    size_t len);
void icomet_variable_missing(ngx_http_variable_value_t *v);


/* icomet_request.c: a request's context, header fields, flags and body */

/* Where an answer's bytes stand while nginx sends them: one write at a time. */
typedef struct {
    ngx_buf_t    buf;
    ngx_chain_t  link;
} icomet_output_t;

/* Where the parameters of an icomet_hub stand: a bit that nginx gives to no context. */
#define ICOMET_HUB_CONF      0x00800000

#define ICOMET_OUTPUT_FLUSH  1
#define ICOMET_OUTPUT_LAST   2

void *icomet_request_ctx(ngx_http_request_t *r);
void icomet_request_set_ctx(ngx_http_request_t *r, void *ctx);
void *icomet_request_loc_conf(ngx_http_request_t *r);
void *icomet_request_main_conf(ngx_http_request_t *r);
ngx_uint_t icomet_request_is_main(ngx_http_request_t *r);
void icomet_request_hold(ngx_http_request_t *r);
void icomet_request_go_on(ngx_http_request_t *r, ngx_uint_t later);
void icomet_request_bound_silence(ngx_http_request_t *r, ngx_msec_t timeout);
void icomet_request_unbound_silence(ngx_http_request_t *r);
void icomet_request_no_keepalive(ngx_http_request_t *r);
void icomet_request_upgrade(ngx_http_request_t *r);
void icomet_request_take_input(ngx_http_request_t *r, ngx_str_t *input);
ngx_uint_t icomet_request_headers(ngx_http_request_t *r, const u_char *name,
    size_t len, ngx_str_t **values, ngx_uint_t max);
ngx_uint_t icomet_request_is_discarding(ngx_http_request_t *r);
off_t icomet_request_announced_length(ngx_http_request_t *r);
ngx_uint_t icomet_request_has_read_body(ngx_http_request_t *r);
ngx_int_t icomet_request_add_header(ngx_http_request_t *r, const ngx_str_t *key,
    const ngx_str_t *value);
ngx_int_t icomet_request_set_head(ngx_http_request_t *r, ngx_uint_t status,
    off_t length, const ngx_str_t *type, const ngx_str_t *charset);
ngx_uint_t icomet_request_page(ngx_http_request_t *r, ngx_str_t page[4]);
ngx_uint_t icomet_request_header_only(ngx_http_request_t *r);
ngx_str_t *icomet_request_content_type(ngx_http_request_t *r);
ngx_uint_t icomet_request_body_whole(ngx_http_request_t *r, ngx_str_t *body);
off_t icomet_request_body_length(ngx_http_request_t *r);
ngx_int_t icomet_request_body_copy(ngx_http_request_t *r, u_char *to,
    size_t size);

/* icomet_output.c: sending, and waiting until the client takes more */

ngx_int_t icomet_output_send(ngx_http_request_t *r, icomet_output_t *output,
    u_char *start, u_char *end, ngx_uint_t flags);
ngx_uint_t icomet_output_pending(ngx_http_request_t *r);
ngx_int_t icomet_output_wait(ngx_http_request_t *r);
void icomet_output_done(ngx_http_request_t *r);
ngx_uint_t icomet_output_timed_out(ngx_http_request_t *r);


/* icomet_park.c: giving a request back, and making one anew */

/* What is kept of a parked request. */
typedef struct {
    ngx_http_connection_t   *http_connection;
    void                   **srv_conf;
    void                   **loc_conf;
    time_t                   start_sec;
    ngx_msec_t               start_msec;
    off_t                    request_length;
    size_t                   header_size;
    ngx_uint_t               err_status;
    ngx_uint_t               http_version;
    ngx_uint_t               keepalive;
    ngx_uint_t               head_sent;
    ngx_uint_t               chunked;
    ngx_uint_t               upgraded;
    ngx_str_t                request_line;
    ngx_str_t                unparsed_uri;
    ngx_str_t                uri;
    ngx_str_t                args;
} icomet_kept_t;

#define ICOMET_READ_DATA     1
#define ICOMET_READ_GONE     2
#define ICOMET_READ_EXITING  3

uintptr_t icomet_request_handler_known(void);
void icomet_request_handler_tell(uintptr_t address);
ngx_uint_t icomet_request_can_park(ngx_http_request_t *r);
void icomet_request_describe(ngx_http_request_t *r, icomet_kept_t *kept);
ngx_connection_t *icomet_request_park(ngx_http_request_t *r, void *data,
    ngx_event_handler_pt on_read, ngx_event_handler_pt on_write);
ngx_http_request_t *icomet_connection_unpark(ngx_connection_t *c,
    const icomet_kept_t *kept);
ssize_t icomet_connection_send(ngx_connection_t *c, const u_char *data,
    size_t len);
ngx_int_t icomet_connection_wait(ngx_connection_t *c, void **loc_conf);
void icomet_connection_write_soon(ngx_connection_t *c);
void icomet_connection_sent(ngx_connection_t *c);
ngx_uint_t icomet_connection_timed_out(ngx_connection_t *c);
size_t icomet_connection_slack(ngx_connection_t *c, u_char **start);
ngx_uint_t icomet_connection_read(ngx_connection_t *c, ngx_uint_t keep);
ngx_uint_t icomet_connection_receive(ngx_connection_t *c, u_char *data,
    size_t size, size_t *received);
void icomet_connection_read_soon(ngx_connection_t *c);
ngx_uint_t icomet_variable_at(ngx_http_request_t *r, ngx_uint_t index,
    ngx_str_t *name, ngx_uint_t *flags);
ngx_uint_t icomet_variable_get(ngx_http_request_t *r, ngx_uint_t index,
    ngx_uint_t evaluate, ngx_str_t *value);
ngx_uint_t icomet_cycle_variable_at(ngx_uint_t index, ngx_str_t *name,
    ngx_uint_t *flags);
ngx_int_t icomet_copy(ngx_pool_t *pool, ngx_str_t *to, const ngx_str_t *from);
ngx_int_t icomet_variable_restore(ngx_http_request_t *r, ngx_uint_t index,
    const ngx_str_t *value);


/* icomet_handover.c: a parked connection moves to another worker */

/* What a connection takes along. */
typedef struct {
    int                      fd;
    ngx_str_t                listening;
    ngx_str_t                sockaddr;
    ngx_str_t                addr_text;
    ngx_atomic_uint_t        number;
    ngx_msec_t               start_time;
    ngx_uint_t               requests;
    off_t                    sent;
    ngx_uint_t               tcp_nodelay;
    ngx_uint_t               tcp_nopush;
    ngx_uint_t               has_proxy_protocol;
    ngx_str_t                proxy_src_addr;
    ngx_str_t                proxy_dst_addr;
    ngx_str_t                proxy_tlvs;
    in_port_t                proxy_src_port;
    in_port_t                proxy_dst_port;
} icomet_passage_t;

/* Nothing listens there any more, or it speaks TLS now. */
#define ICOMET_REFUSED_NO_PLACE         1
/* The same, and the descriptor was closed. */
#define ICOMET_REFUSED_NO_PLACE_CLOSED  2
/* No connection is free, or no memory. */
#define ICOMET_REFUSED_FULL             3
/* The same, and the descriptor was closed. */
#define ICOMET_REFUSED_CLOSED           4

ngx_uint_t icomet_connection_describe(ngx_connection_t *c,
    icomet_passage_t *p);
void icomet_connection_withdraw(ngx_connection_t *c);
void icomet_connection_release(ngx_connection_t *c);
ngx_connection_t *icomet_connection_adopt(const icomet_passage_t *p,
    ngx_uint_t *refused);
void icomet_connection_settle(ngx_connection_t *c, void *data,
    ngx_event_handler_pt on_read, ngx_event_handler_pt on_write);
void icomet_location_describe(void **srv_conf, void **loc_conf,
    ngx_str_t *server_name, ngx_str_t *name, ngx_uint_t *kind);
ngx_uint_t icomet_connection_reaches(ngx_connection_t *c, void **srv_conf);
void icomet_conf_origin(ngx_conf_t *cf, void ***srv_conf, void ***loc_conf);


/* icomet_tls.c: what nginx has beside what this module was built with */

ngx_int_t icomet_check_build(ngx_conf_t *cf);
ngx_uint_t icomet_connection_is_plain(ngx_connection_t *c);
ngx_uint_t icomet_request_is_stream(ngx_http_request_t *r);
void icomet_connection_free_tls_buffer(ngx_connection_t *c);
void icomet_request_free_tls_buffer(ngx_http_request_t *r);

/*
 * The counters of stub_status stand in an nginx that has it, whatever this
 * module was built with.
 */
extern ngx_atomic_t  *ngx_stat_requests __attribute__((weak));
extern ngx_atomic_t  *ngx_stat_active __attribute__((weak));
extern ngx_atomic_t  *ngx_stat_reading __attribute__((weak));
extern ngx_atomic_t  *ngx_stat_writing __attribute__((weak));

#define icomet_stat_add(counter, n)                                           \
    do {                                                                      \
        if (&counter != NULL) {                                               \
            (void) ngx_atomic_fetch_add(counter, n);                          \
        }                                                                     \
    } while (0)


/* icomet_ahead.c: memory asked for ahead of its use */

void icomet_request_ask(ngx_http_request_t *r);
void icomet_request_ask_further(ngx_http_request_t *r);
void icomet_connection_ask(ngx_connection_t *c);
void icomet_connection_ask_further(ngx_connection_t *c);


/* icomet_cycle.c: what a cycle says of processes and files */

ngx_uint_t icomet_cycle_workers(ngx_cycle_t *cycle);
void icomet_cycle_files(ngx_cycle_t *cycle, ngx_uint_t *connections,
    ngx_uint_t *limit, ngx_uint_t *others);


/* icomet_event.c: timers, posted events and the doorbell's connection */

ngx_event_t *icomet_event_create(ngx_cycle_t *cycle,
    ngx_event_handler_pt handler, ngx_uint_t cancelable);
void icomet_timer_set(ngx_event_t *ev, ngx_msec_t delay);
void icomet_timer_set_exactly(ngx_event_t *ev, ngx_msec_t delay);
ngx_uint_t icomet_timer_is_set(ngx_event_t *ev);
void icomet_post(ngx_event_t *ev);
void icomet_post_next(ngx_event_t *ev);
ngx_connection_t *icomet_doorbell_open(ngx_cycle_t *cycle, int fd,
    ngx_event_handler_pt handler);
ngx_connection_t *icomet_socket_open(int fd, void *data,
    ngx_event_handler_pt handler);
void icomet_socket_again(ngx_connection_t *c);
void icomet_socket_close(ngx_connection_t *c);
ngx_uint_t icomet_connection_closing(ngx_connection_t *c);


#endif /* ICOMET_SHIM_H */
