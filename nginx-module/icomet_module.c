/*
 * The module and command tables, and the configuration calls that C alone has.
 */

#include "icomet_shim.h"

/* Implemented in Rust: src/config/, src/worker/life.rs and src/state.rs. */
char *icomet_set_hub(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_hub_parameter(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_channels(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_sub(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_pub(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_channel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_park(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_ws_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_sub_presence(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *icomet_set_sub_history(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void *icomet_create_main_conf(ngx_conf_t *cf);
void *icomet_create_loc_conf(ngx_conf_t *cf);
char *icomet_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
ngx_int_t icomet_preconfiguration(ngx_conf_t *cf);
ngx_int_t icomet_postconfiguration(ngx_conf_t *cf);
ngx_int_t icomet_init_module(ngx_cycle_t *cycle);
ngx_int_t icomet_init_process(ngx_cycle_t *cycle);
void icomet_exit_process(ngx_cycle_t *cycle);
void icomet_exit_master(ngx_cycle_t *cycle);


/* Rust counts the values, and says what is wrong with them. */

#define icomet_hub_parameter(name)                                            \
    { ngx_string(name), ICOMET_HUB_CONF|NGX_CONF_ANY,                         \
      icomet_set_hub_parameter, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL }


static ngx_command_t  ngx_http_icomet_commands[] = {

    { ngx_string("icomet_hub"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      icomet_set_hub,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    icomet_hub_parameter("zone"),
    icomet_hub_parameter("auth"),
    icomet_hub_parameter("max_channels"),
    icomet_hub_parameter("empty_channels"),
    icomet_hub_parameter("max_subscribers_per_channel"),
    icomet_hub_parameter("max_subscribers_per_ip"),
    icomet_hub_parameter("max_channels_per_subscriber"),
    icomet_hub_parameter("channel_buffer_size"),
    icomet_hub_parameter("channel_timeout"),
    icomet_hub_parameter("message_ttl"),
    icomet_hub_parameter("polling_timeout"),
    icomet_hub_parameter("max_message_size"),
    icomet_hub_parameter("max_batch"),
    icomet_hub_parameter("idempotency_window"),
    icomet_hub_parameter("max_idempotency_ids"),
    icomet_hub_parameter("ws_max_message_size"),
    icomet_hub_parameter("ws_rate"),
    icomet_hub_parameter("allowed_origins"),
    icomet_hub_parameter("jsonp"),
    icomet_hub_parameter("on_full"),
    icomet_hub_parameter("state_file"),
    icomet_hub_parameter("node"),
    icomet_hub_parameter("hook"),

    { ngx_string("channels"),
      ICOMET_HUB_CONF|NGX_CONF_BLOCK|NGX_CONF_ANY,
      icomet_set_channels,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_sub"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      icomet_set_sub,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_pub"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      icomet_set_pub,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_channel"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      icomet_set_channel,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_publish"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF
                        |NGX_CONF_2MORE,
      icomet_set_publish,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_park"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      icomet_set_park,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_ws_publish"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      icomet_set_ws_publish,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_user"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      icomet_set_user,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_sub_presence"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      icomet_set_sub_presence,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("icomet_sub_history"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      icomet_set_sub_history,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_int_t
icomet_begin(ngx_conf_t *cf)
{
    if (icomet_check_build(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return icomet_preconfiguration(cf);
}


static ngx_http_module_t  ngx_http_icomet_module_ctx = {
    icomet_begin,                          /* preconfiguration */
    icomet_postconfiguration,              /* postconfiguration */

    icomet_create_main_conf,               /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    icomet_create_loc_conf,                /* create location configuration */
    icomet_merge_loc_conf                  /* merge location configuration */
};


ngx_module_t  ngx_http_icomet_module = {
    NGX_MODULE_V1,
    &ngx_http_icomet_module_ctx,           /* module context */
    ngx_http_icomet_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    icomet_init_module,                    /* init module */
    icomet_init_process,                   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    icomet_exit_process,                   /* exit process */
    icomet_exit_master,                    /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_module_t *
icomet_module(void)
{
    return &ngx_http_icomet_module;
}


void
icomet_log(ngx_uint_t level, ngx_log_t *log, ngx_err_t err, const u_char *text,
    size_t len)
{
    ngx_log_error(level, log, err, "icomet: %*s", len, text);
}


void
icomet_conf_error(ngx_conf_t *cf, const u_char *text, size_t len)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%*s", len, text);
}


void *
icomet_main_conf(ngx_conf_t *cf)
{
    return ngx_http_conf_get_module_main_conf(cf, ngx_http_icomet_module);
}


void *
icomet_cycle_main_conf(ngx_cycle_t *cycle)
{
    /* The cycle that nginx starts with has no configuration yet. */
    if (cycle->conf_ctx == NULL) {
        return NULL;
    }

    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_icomet_module);
}


/* The arrays of configurations that the block being read will serve with. */

void
icomet_conf_origin(ngx_conf_t *cf, void ***srv_conf, void ***loc_conf)
{
    ngx_http_conf_ctx_t  *ctx;

    ctx = cf->ctx;
    *srv_conf = ctx->srv_conf;
    *loc_conf = ctx->loc_conf;
}


void
icomet_set_content_handler(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;
}


ngx_int_t
icomet_add_log_handler(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


/* An "if" or "limit_except" block within the location. */

ngx_uint_t
icomet_is_block_in_location(ngx_conf_t *cf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    return clcf->noname;
}


/* nginx takes the handler of a "limit_except" block from the block itself. */

void
icomet_set_limit_except_handler(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->lmt_excpt && clcf->handler == NULL) {
        clcf->handler = handler;
    }
}


ngx_uint_t
icomet_has_content_handler(ngx_conf_t *cf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    return clcf->handler != NULL;
}


/* Others set theirs without asking whether there is one. */

ngx_uint_t
icomet_content_handler_is(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    return clcf->handler == handler;
}


/* The bytes must live as long as the request. */

void
icomet_variable_set(ngx_http_variable_value_t *v, const u_char *data,
    size_t len)
{
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->len = len;
    v->data = (u_char *) data;
}


void
icomet_variable_missing(ngx_http_variable_value_t *v)
{
    v->not_found = 1;
}
