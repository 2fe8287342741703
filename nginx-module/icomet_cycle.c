/*
 * What a cycle's configuration says of processes and files.
 */

#include "icomet_shim.h"


/* The number of worker processes that a cycle has; 0: it has no master. */

ngx_uint_t
icomet_cycle_workers(ngx_cycle_t *cycle)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    return ccf->master ? (ngx_uint_t) ccf->worker_processes : 0;
}


/*
 * The files of a worker: nginx's limit of them, and about how many it has open
 * that are no connections.  Listening sockets are connections, except those of
 * other workers ("reuseport"), which each worker inherits too.
 */

void
icomet_cycle_files(ngx_cycle_t *cycle, ngx_uint_t *connections,
    ngx_uint_t *limit, ngx_uint_t *others)
{
    ngx_uint_t         i;
    struct rlimit      rlmt;
    ngx_list_part_t   *part;
    ngx_core_conf_t   *ccf;
    ngx_event_conf_t  *ecf;
#if (NGX_HAVE_REUSEPORT)
    ngx_listening_t   *ls;
#endif

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    ecf = ngx_event_get_conf(cycle->conf_ctx, ngx_event_core_module);

    *connections = ecf->connections;

    if (ccf->rlimit_nofile != NGX_CONF_UNSET) {
        *limit = (ngx_uint_t) ccf->rlimit_nofile;

    } else if (getrlimit(RLIMIT_NOFILE, &rlmt) == -1
               || rlmt.rlim_cur > NGX_MAX_INT_T_VALUE)
    {
        *limit = NGX_MAX_INT_T_VALUE;

    } else {
        *limit = (ngx_uint_t) rlmt.rlim_cur;
    }

    /*
     * 0 to 2, epoll, its notification, a spare one, the channels of all other
     * processes
     */

    *others = 6 + (ccf->master ? (ngx_uint_t) ccf->worker_processes + 1 : 0);

    for (part = &cycle->open_files.part; part; part = part->next) {
        *others += part->nelts;
    }

#if (NGX_HAVE_REUSEPORT)
    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (ls[i].reuseport && ls[i].worker != 0) {
            (*others)++;
        }
    }
#else
    (void) i;
#endif
}
