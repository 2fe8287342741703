# icomet_channel: where the channel's name comes from.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: another parameter, from the query and from a form
--- config
    icomet_channel $arg_room;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
same(get('/icomet-admin/push?room=channel1&cname=other&content=x'), qq({"type":"ok"}\n), 'GET');
same(post('/icomet-admin/push', 'room=channel1&content=y'), qq({"type":"ok"}\n), 'POST');
same(get('/icomet/sub?room=channel1&seq=1'), '[' . data('channel1', 1, 'x') . ',' . data('channel1', 2, 'y') . "]\n", 'sub');
get('/icomet-admin/push?room=a%20b%2Bc+d&content=x');
same(get('/icomet/sub?room=a%20b%2Bc+d&seq=1'), '[' . data('a b+c d', 1, 'x') . "]\n", 'it is decoded');
errors('GET /icomet/sub?cname=channel1&seq=1', 400, qr/./);
same(get('/icomet-admin/info?room=channel1'), qq({"cname": "channel1", "subscribers": 0}\n), 'info');
errors('GET /icomet/sub?room=&seq=1', 400, qr/./);



=== TEST 2: a fixed name
--- config
    location ~ ^/news/          { icomet_channel channel2news; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
push_ok('channel2news', 'x');
same(get('/news/sub?cname=other&seq=1'), '[' . data('channel2news', 1, 'x') . "]\n", 'whatever the query says');



=== TEST 3: a part of the path, and more around it
--- config
    location ~ ^/rooms/(?<room>[^/]+)/events$ { icomet_channel room.$room; icomet_sub main sse; }
    location ~ ^/rooms/([^/]+)/send$          { icomet_channel room.$1; icomet_pub main push; }
    location ~ ^/icomet-admin/                { icomet_pub main; }
--- play
my $sse = conn()->request('GET', '/rooms/a%20b/events?seq=1');
await_subscribers('room.a%20b', 1);
same(post('/rooms/a%20b/send', 'content=hi'), qq({"type":"ok"}\n), 'send');
matches($sse->event, qr/\ndata: \Q${\data('room.a b', 1, 'hi')}\E\n\n\z/, 'event');



=== TEST 4: a map decides; an empty result is refused
--- http_config
    icomet_hub main { zone 16m; }
    map $http_x_user $inbox { default ""; alice channel4alice; bob channel4bob; }
--- config
    location ~ ^/inbox/         { icomet_channel $inbox; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
push_ok("channel4$_", "for $_") for qw(alice bob);
same(http('GET', '/inbox/sub?seq=1&cname=channel4bob', headers => ['X-User: alice'])->{text}, '[' . data('channel4alice', 1, 'for alice') . "]\n", 'alice');
same(http('GET', '/inbox/sub?seq=1', headers => ['X-User: bob'])->{text}, '[' . data('channel4bob', 1, 'for bob') . "]\n", 'bob');
errors('GET /inbox/sub?seq=1&cname=channel4bob', 400, qr/./);



=== TEST 5: a name from elsewhere is checked like any other
--- config
    location ~ ^/h/             { icomet_channel $http_x_name; icomet_sub main; }
--- play
errors('GET /h/sub?seq=1', 400, qr/./, headers => ["X-Name: $_"]) for "a\tb", "\xff", 'x' x 257;
same(http('GET', '/h/sub', headers => ['X-Name: ' . 'x' x 256])->{text}, data('x' x 256, 1, '', 'next_seq') . "\n", 'the longest');



=== TEST 6: it is inherited, and can be set anew
--- config
    icomet_channel channel6outer;
    location ~ ^/outer/ { icomet_sub main; }
    location ~ ^/inner/ { icomet_channel $arg_cname; icomet_sub main; }
    location ~ ^/nested/ { icomet_channel channel6nested; location ~ ^/nested/deep/ { icomet_sub main; } }
    location ~ ^/icomet-admin/ { icomet_channel ${arg_cname}; icomet_pub main; }
--- play
push_ok("channel6$_", $_) for qw(outer inner nested);
same(get('/outer/sub?seq=1'), '[' . data('channel6outer', 1, 'outer') . "]\n", 'from the server');
same(get('/inner/sub?seq=1&cname=channel6inner'), '[' . data('channel6inner', 1, 'inner') . "]\n", 'its own');
same(get('/nested/deep/sub?seq=1'), '[' . data('channel6nested', 1, 'nested') . "]\n", 'from the location around');



=== TEST 7: in the http block
--- http_config
    icomet_hub main { zone 16m; }
    icomet_channel channel7;
--- config
    location ~ ^/icomet/ { icomet_sub main; }
--- play
same(get('/icomet/sub'), data('channel7', 1, '', 'next_seq') . "\n", 'body');



=== TEST 8: $arg_ within a longer value is taken as it stands
--- config
    location ~ ^/icomet/ { icomet_channel "user:$arg_u"; icomet_sub main; }
--- play
same(get('/icomet/sub?u=a%20b'), data('user:a%20b', 1, '', 'next_seq') . "\n", 'not decoded');



=== TEST 9: a parameter by which a location says channel or user comes once, in any case
--- config
    icomet_user $arg_who;
    location /named/  { icomet_channel $arg_room; icomet_sub main; }
    location /whole/  { icomet_channel "room.${ARG_Room}-$arg_floor"; icomet_sub main; }
    location /other/  { icomet_sub main; }
    location /nobody/ { icomet_user ""; icomet_channel fixed; icomet_sub main; }
    location /admin/  { icomet_channel $arg_room; icomet_pub main; }
    location /form/   { limit_except GET { deny all; } icomet_channel $arg_room; icomet_pub main; }
--- play
my @twice = ('room=a&ROOM=b', 'Room=a&room=a', '%72oom=b&room=a', 'room=a&x=1&roo%6D=b', 'room&room');
for my $query (@twice) {
    errors("GET /named/$_?$query&seq=1", 400, qr/room comes twice/) for qw(sub stream sse iframe ws);
    errors("GET /whole/sub?$query&floor=1&seq=1", 400, qr/[Rr]oom comes twice/);
    errors("GET /admin/push?$query&content=x", 400, qr/room comes twice/);
    errors("GET /form/push?$query&content=x", 400, qr/room comes twice/);
    same(http('GET', "/nobody/ping?$query")->{status}, 200, 'not one that nothing is said by');
}
matches(post('/admin/push', 'room=a&content=x&ROOM=b'), qr/room comes twice/, 'form');
errors('GET /whole/sub?room=1&floor=2&Floor=3&seq=1', 400, qr/floor comes twice/);
errors("GET $_?who=ann&WHO=bob&cname=x&room=1&floor=1&seq=1", 400, qr/who comes twice/) for qw(/named/sub /whole/sub /other/sub /admin/check);
same(get("/admin/check?room=$_"), "{}\n", 'nothing was done') for qw(a b);
# A name that only begins alike, or that is long, is another.
for my $query ('room=c9&rooms=d9', 'room=c9&roo=d9', 'room=c9&' . 'room' x 20 . '=d9', 'room=c9&' . '%72oom' x 20 . '=d9') {
    same(http('GET', "/admin/push?$query&content=x")->{status}, 200, $query);
}
