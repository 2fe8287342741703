# icomet_publish: nginx publishes when a request ends. And how a back end hands a client over by X-Accel-Redirect.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: what a request ends with is published: variables, quotes and all
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location /order {
        icomet_publish orders-$arg_shop "$request_method $uri $status \"$http_user_agent\"";
        return 201 "taken\n";
    }
--- play
my $stream = subscribe('/icomet/stream?cname=orders-7&seq=1');
answers('POST /order?shop=7', 201, "taken\n", headers => ['User-Agent: a "b" \\ c']);
same(message($stream), data('orders-7', 1, 'POST /order 201 "a "b" \\ c"'), 'as a JSON string');
answers('GET /order?shop=8', 201, "taken\n");
until_true(sub { get('/icomet/sub?cname=orders-8&seq=1&wait=0') eq '[' . data('orders-8', 1, 'GET /order 201 ""') . "]\n" }, 'another channel');



=== TEST 2: several; none for an empty name; a bad name harms nobody and is told at level info
--- hub: zone 5m;
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location /many {
        icomet_publish two-a $arg_text;
        icomet_publish two-b again-$arg_text;
        icomet_publish $arg_none never;
        icomet_publish $arg_long never;
        return 204;
    }
--- play
my %open = map { $_ => subscribe("/icomet/stream?cname=two-$_&seq=1") } qw(a b);
answers('GET /many?text=x&long=' . 'n' x 5000, 204, '');
same(message($open{a}), data('two-a', 1, 'x'), 'the first');
same(message($open{b}), data('two-b', 1, 'again-x'), 'the second');
matches(get('/icomet-admin/info'), qr/"channels": 2,/, 'no other channel was made');
--- error_log eval
[qr/\[info\] .*icomet: "icomet_publish" in \S+nginx\.conf:\d+: /]
--- no_error_log
[error]



=== TEST 3: inherited, unless a location has its own; in an if; into another hub
--- http_config
    icomet_hub main { zone 4m; }
    icomet_hub second { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub main; icomet_publish unused ""; }
    location ~ ^/icomet-admin/  { icomet_pub main; icomet_publish unused ""; }
    location ~ ^/second/        { icomet_sub second; }
    location ~ ^/second-admin/  { icomet_pub second; }
    location /in {
        icomet_publish three-in "$uri";
        location /in/herits { return 204; }
        location /in/own    { icomet_publish three-own "$uri" second; return 204; }
        location /in/if     {
            if ($arg_x) { icomet_publish three-if "$uri"; return 204; }
            return 204;
        }
    }
--- play
my %open = map { $_ => subscribe("/icomet/stream?cname=three-$_&seq=1") } qw(in if);
answers("GET $_", 204, '') for '/in/herits', '/in/own', '/in/if?x=1', '/in/if';
same(message($open{in}), data('three-in', 1, '/in/herits'), 'inherited');
same(message($open{in}), data('three-in', 2, '/in/if'), 'outside of the if');
same(message($open{if}), data('three-if', 1, '/in/if'), 'in the if');
until_true(sub { get('/second/sub?cname=three-own&seq=1&wait=0') eq '[' . data('three-own', 1, '/in/own') . "]\n" }, 'into the other hub');
same(get('/icomet-admin/check?cname=three-own'), "{}\n", 'and not into the first');



=== TEST 4: a subscription that ends publishes as well: who leaves is told to others
--- config
    location ~ ^/icomet/        { icomet_sub main; icomet_publish left-$arg_room "$arg_cname $status"; }
    location ~ ^/listen/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $listener = subscribe('/listen/stream?cname=left-1&seq=1');
my $guest = subscribe('/icomet/sse?cname=guest&seq=1&room=1');
$guest->leave;
same(message($listener), data('left-1', 1, 'guest 200'), 'when the client has gone');



=== TEST 5: a hub that is not there
--- config
    location /x { icomet_publish c x nowhere; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown hub "nowhere" in "icomet_publish" in \S+nginx\.conf:\d+: define it by "icomet_hub nowhere \{ \}"/]



=== TEST 6: without a channel
--- config
    location /x { icomet_publish "" x; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_publish" has no channel: give a name, as in "icomet_publish orders \$request_uri" in \S+nginx\.conf:\d+/]



=== TEST 7: a message that is too large is told at level error
--- hub: max_message_size 10;
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location /large { icomet_publish seven "eleven byte"; return 204; }
--- play
answers('GET /large', 204, '');
error_log_has(qr/\[error\] .*icomet: "icomet_publish" in \S+nginx\.conf:\d+: /);
same(get('/icomet-admin/check?cname=seven'), "{}\n", 'nothing was published');
--- error_log
[error]



=== TEST 8: a back end lets a client in by X-Accel-Redirect
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location /chat {
            if ($arg_pass != "right") { return 403 "no\n"; }
            add_header X-Accel-Redirect "/inside/sse?cname=room-7&seq=1";
            return 200;
        }
    }
--- config
    location /chat    { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
    location /inside/ { internal; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
answers('GET /chat?pass=wrong', 403, "no\n");
answers('GET /inside/sse?cname=room-7', 404, qr/404 Not Found/);
my $sse = conn()->request('GET', '/chat?pass=right');
await_subscribers('room-7', 1);
push_ok('room-7', 'welcome');
same(message($sse), data('room-7', 1, 'welcome'), 'it listens where the back end has said');
reload();
push_ok('room-7', 'again');
same(message($sse), data('room-7', 2, 'again'), 'also after a reload') unless ($ENV{ICOMET_TEST_PARK} // '') eq 'off';
