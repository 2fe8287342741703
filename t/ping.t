# ping: tells the polling timeout, as a JSONP call.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: the default callback
--- play
answers('GET /icomet/ping', 200, qq(icomet_cb({"type":"ping","sub_timeout":30});\n),
    expect => {
        'Content-Type' => 'text/javascript; charset=utf-8',
        'Cache-Control' => 'no-cache, no-transform, private',
        'Expires' => '0',
        'Access-Control-Allow-Origin' => '*',
    });



=== TEST 2: a callback of the client's, and the hub's polling_timeout
--- hub: polling_timeout 75s;
--- play
answers('GET /icomet/ping?cb=My.$app_1.cb', 200, qq(/**/My.\$app_1.cb({"type":"ping","sub_timeout":75});\n));
answers('GET /icomet/ping?cb=', 200, qq(icomet_cb({"type":"ping","sub_timeout":75});\n));



=== TEST 3: parameters that ping does not need do not matter
--- play
answers('GET /icomet/ping?cname=&_=123', 200, qq(icomet_cb({"type":"ping","sub_timeout":30});\n));
