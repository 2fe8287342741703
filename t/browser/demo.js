// The demo's nginx: demo/nginx.conf as `make run` starts it, on a port of its own, with the pages of demo/.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { launch } = require('./nginx');

const DEMO = path.join(__dirname, '../../demo');

/** Starts it in a folder. ICOMET_NGINX and ICOMET_MODULE say where the program and the module are. */
function start(folder) {
    const { ICOMET_NGINX: program, ICOMET_MODULE: module } = process.env;
    fs.symlinkSync(DEMO, path.join(folder, 'html'));
    return launch(folder, program, (port) => {
        const configuration = fs.readFileSync(path.join(DEMO, 'nginx.conf'), 'utf8')
            .replace('modules/ngx_http_icomet_module.so', module)
            .replace('stderr warn', 'logs/error.log info')
            .replace('logs/nginx.pid', 'nginx.pid')
            .replace('127.0.0.1:8080;', `127.0.0.1:${port};`)
            // A browser opens connections that it may need; without a request they would keep a worker that is to end.
            .replace('server_name  localhost;', 'server_name localhost; client_header_timeout 1s;');
        return `daemon off;\n${configuration}`;
    });
}

module.exports = { start };
