# The directives: what they set, and what holds without them.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: a hub "main" with the defaults exists without being defined
--- http_config
--- config
    location ~ ^/icomet/        { icomet_sub; }
    location ~ ^/icomet-admin/  { icomet_pub; }
--- play
same(get('/icomet/ping'), qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'polling_timeout is 30s');
matches(get('/icomet-admin/sign?cname=d1'), qr/"expires":30,"sub_timeout":30\}\n\z/, 'channel_timeout is 30s');
push_ok('d1', $_) for 1 .. 11;
matches(get('/icomet-admin/sign?cname=d1'), qr/"seq":2,/, 'channel_buffer_size is 10');
my @polls = map { subscribe('/icomet/sub?cname=d1many&seq=1') } 1 .. 100;
same(subscribers('d1many'), 100, 'max_subscribers_per_channel is more than anybody has; auth is none');
errors('POST /icomet-admin/push', 413, '1048576', cname => 'd1', body => 'cname=d1&content=' . 'x' x 1048577);



=== TEST 2: an empty hub block is the same
--- http_config
    icomet_hub main { }
--- play
matches(get('/icomet-admin/sign?cname=d2'), qr/"expires":30,"sub_timeout":30\}\n\z/, 'times');



=== TEST 3: every parameter is taken, in nginx's syntax
--- http_config
    icomet_hub d3 {
        zone                         2048k;
        auth                         token;
        max_channels                 3;
        max_subscribers_per_channel  1;
        channel_buffer_size          2;
        channel_timeout              2m;
        polling_timeout              90;
        max_message_size             512;
        on_full                      evict;
    }
--- config
    location ~ ^/icomet/        { icomet_sub d3; }
    location ~ ^/icomet-admin/  { icomet_pub d3; }
--- play
my ($seq, $token, $expires, $sub_timeout) = get('/icomet-admin/sign?cname=a')
    =~ /"seq":(\d+),"token":"([0-9a-f]+)","expires":(\d+),"sub_timeout":(\d+)/;
same($expires, 120, 'channel_timeout');
same($sub_timeout, 90, 'polling_timeout: a bare number is seconds');
matches(get('/icomet/sub?cname=a&seq=1'), qr/Token error/, 'auth');
push_ok('a', $_) for 1 .. 3;
matches(get('/icomet-admin/sign?cname=a'), qr/"seq":2,/, 'channel_buffer_size');
my $stream = subscribe("/icomet/stream?cname=a&seq=1&token=$token");
matches(get("/icomet/sub?cname=a&seq=4&token=$token"), qr/Too many subscribers/, 'max_subscribers_per_channel');
same(http('GET', '/icomet-admin/push?cname=a&content=' . 'x' x 513)->{status}, 413, 'max_message_size');
push_ok($_, 'x') for qw(b c);
same(http('GET', '/icomet-admin/push?cname=d&content=x')->{status}, 429, 'max_channels');



=== TEST 4: values at the ends of their ranges, and nginx's time units
--- http_config
    icomet_hub a { zone 1m; auth none; max_channels 1; max_subscribers_per_channel 1; channel_buffer_size 1;
                   channel_timeout 1s; polling_timeout 1000ms; max_message_size 1; on_full refuse; }
    icomet_hub b { max_channels 100000000; max_subscribers_per_channel 100000000; channel_buffer_size 1000000;
                   channel_timeout 365d; polling_timeout 1d; }
    icomet_hub x-Y_9 { zone 1M; max_message_size 1k; channel_timeout "1m 30s"; }
--- config
    location ~ ^/a/ { icomet_sub a; }
    location ~ ^/b/ { icomet_sub b; }
    location ~ ^/x/ { icomet_pub x-Y_9; }
--- play
same(get('/a/ping'), qq(icomet_cb({"type":"ping","sub_timeout":1});\n), 'a');
same(get('/b/ping'), qq(icomet_cb({"type":"ping","sub_timeout":86400});\n), 'b');
matches(get('/x/sign?cname=x'), qr/"expires":90,/, 'x-Y_9');



=== TEST 5: hubs are separate worlds
--- http_config
    icomet_hub d5a { zone 4m; }
    icomet_hub d5b { zone 4m; auth token; }
--- config
    location ~ ^/a/       { icomet_sub d5a; }
    location ~ ^/b/       { icomet_sub d5b; }
    location ~ ^/a-admin/ { icomet_pub d5a; }
    location ~ ^/b-admin/ { icomet_pub d5b; }
--- play
push_ok('d5', 'for a', '/a-admin');
same(get('/b-admin/check?cname=d5'), "{}\n", 'the other has no such channel');
push_ok('d5', 'for b', '/b-admin');
same(get('/a/sub?cname=d5&seq=1'), '[' . data('d5', 1, 'for a') . "]\n", 'a');
matches(get('/b/sub?cname=d5&seq=1'), qr/Token error/, 'b has its own auth');
my $stream = subscribe('/a/stream?cname=d5&seq=2', admin => '/a-admin');
same(subscribers('d5', '/b-admin'), 0, 'subscribers are its own');



=== TEST 6: a fixed endpoint serves whatever the path is
--- config
    location = /events      { icomet_sub main sse; }
    location = /sub         { icomet_sub main stream; }
    location /any           { icomet_sub main poll; }
    location = /publish     { icomet_pub main push; }
    location = /stat        { icomet_pub main info; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
--- play
same(get('/publish?cname=d6&content=x'), qq({"type":"ok"}\n), 'push');
same(get('/stat?cname=d6'), qq({"cname": "d6", "subscribers": 0}\n), 'info');
same(get('/any/thing/at/all/sse?cname=d6&seq=1'), '[' . data('d6', 1, 'x') . "]\n", 'poll');
matches(conn()->request('GET', '/events?cname=d6&seq=1')->event, qr/\Aid: [0-9a-f]{16}\.[0-9a-z]+-1\ndata: \{/, 'sse');
same(conn()->request('GET', '/sub?cname=d6&seq=1')->line, data('d6', 1, 'x') . "\n", 'stream');



=== TEST 7: a hub may be defined after it is used, and in another server's locations too
--- http_config
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location /p/ { icomet_pub late; } }
    icomet_hub late { zone 4m; }
--- config
    location ~ ^/icomet/       { icomet_sub late; }
    location ~ ^/icomet-admin/ { icomet_pub late; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
same(http('GET', '/p/push?cname=d7&content=x', port => $port)->{text}, qq({"type":"ok"}\n), 'push on the other server');
same(get('/icomet/sub?cname=d7&seq=1'), '[' . data('d7', 1, 'x') . "]\n", 'sub on this one');



=== TEST 8: nginx's own access rules apply
--- config
    location ~ ^/icomet/       { icomet_sub; }
    location ~ ^/icomet-admin/ { allow 127.0.0.1; deny all; icomet_pub; }
    location ~ ^/closed/       { deny all; icomet_pub; }
    location ~ ^/secret/       { auth_basic on; auth_basic_user_file /dev/null; icomet_sub; }
    location = /asked/push     { auth_request /no; icomet_pub; }
    location = /no             { return 403; }
--- play
push_ok('d8', 'x');
same(http('GET', "/$_/push?cname=d8&content=y")->{status}, 403, $_) for qw(closed asked);
same(http('GET', '/secret/sub?cname=d8&seq=1')->{status}, 401, 'secret');
same(get('/icomet/sub?cname=d8&seq=1'), '[' . data('d8', 1, 'x') . "]\n", 'only the first one came');
--- error_log
access forbidden by rule
--- no_error_log
[alert]
[crit]



=== TEST 9: locations without icomet are none of its business
--- config
    location ~ ^/icomet/ { icomet_sub; location ~ ^/icomet/static/ { return 200 "static\n"; } }
    location = /plain    { return 200 "plain\n"; }
--- play
same(get('/icomet/static/sub'), "static\n", 'the directive is not inherited');
same(get('/plain'), "plain\n", 'beside it');
