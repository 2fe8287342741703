# Users: who is subscribed to a channel, and ending a user's connections. With ICOMET_TEST_WORKERS=4 they are on different workers.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use JSON::PP qw(decode_json);
use Test::Nginx::Socket 'no_plan';

sub ws {
    my ($uri, $cname) = @_;
    my $before = subscribers($cname);
    my $ws = IcometTest::Socket->new(conn(), $uri);
    $ws->status;
    await_subscribers($cname, $before + 1);
    return $ws;
}

# A channel whose last subscriber has left is there for a while yet.
our $NOBODY = qr/\A(?:0 0:|no such channel)\z/;

set_up();
run_tests();

__DATA__

=== TEST 1: members of every transport, and who is nobody
--- play
my %held = map { $_ => subscribe("/icomet/$_?cname=who1&seq=1&user=$_") } qw(sub stream sse iframe);
my $ws = ws('/icomet/ws?cname=who1&seq=1&user=ws', 'who1');
my $ann = subscribe('/icomet/sse?cname=who1&seq=1&user=stream');
my $nobody = subscribe('/icomet/sse?cname=who1&seq=1');
my $empty = subscribe('/icomet/stream?cname=who1&seq=1&user=');
same(present('who1'), '8 5: iframe=1 sse=1 stream=2 sub=1 ws=1', 'presence');
same(present('none'), 'no such channel', 'of a channel that is not there');
$ann->leave;
$held{sse}->leave;
await_subscribers('who1', 6);
same(present('who1'), '6 4: iframe=1 stream=1 sub=1 ws=1', 'two have left');
push_ok('who1', 'm');
matches($held{sub}->rest, qr/"content":"m"/, 'the long poll is answered');
same(present('who1'), '5 3: iframe=1 stream=1 ws=1', 'and no member any more');
answers('GET /icomet-admin/api/presence?channel=who1&limit=1', 200, qr/\A\{"channel":"who1","subscribers":5,"users":3,"members":\[\{"user":"\w+","connections":1\}\],"cursor":"[0-9a-f]{16}"\}\n\z/);
answers('GET /icomet-admin/api/presence?channel=who1&limit=3', 200, qr/\A\{"channel":"who1","subscribers":5,"users":3,"members":\[(?:\{"user":"\w+","connections":1\},?){3}\]\}\n\z/);



=== TEST 2: what is no user
--- play
for my $user ('a' x 129, '%00', 'a%0Ab', '%ff', '%C2%85') {
    errors("GET /icomet/$_?cname=who2&user=$user", 400, qr/user (?:has|is)/) for qw(sub stream sse iframe);
}
my $text = "\xc3\xa9\xe2\x82\xac \"quoted\" ";
my $held = subscribe('/icomet/sse?cname=who2&seq=1&user=' . encode($text));
my $long = subscribe('/icomet/sse?cname=who2&seq=1&user=' . 'a' x 128);
answers('GET /icomet-admin/api/presence?channel=who2', 200, qr/"user":"\xc3\xa9\xe2\x82\xac \\"quoted\\" "/);
answers('GET /icomet-admin/api/presence?channel=who2', 200, qr/"user":"a{128}"/);
my $path = '/icomet-admin/api/presence';
refused(http('GET', "$path?channel=a&$_"), 400, 'bad_parameter', parameter => s{=.*}{}r)
    for qw(limit=0 limit=1001 limit=x cursor= cursor=x cursor=00000000000000000);
refused(http('GET', "$path?channel=a&user=b"), 400, 'unknown_parameter', parameter => 'user');
answers("GET $path?channel=who2&cursor=ffffffffffffffff", 200, qr/"users":2,"members":\[\]\}\n\z/);



=== TEST 3: icomet_user: the location says who it is, whatever the client says
--- http_config
    icomet_hub main { zone 16m; }
    map $arg_key $who { key-of-ann ann; key-of-bad "a\tb"; }
    log_format who '$icomet_channel $icomet_user $status';
    access_log logs/who.log who;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location /auth { add_header X-User carol; return 204; }
    }
--- config
    location /verified/ { icomet_user $who; icomet_sub main; }
    location /claimed/ { icomet_sub main; }
    location /asked/ {
        auth_request /authorize;
        auth_request_set $user $upstream_http_x_user;
        icomet_user $user;
        icomet_sub main;
    }
    location = /authorize { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/auth; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $ann = subscribe('/verified/sse?cname=who3&seq=1&key=key-of-ann&user=eve');
my $eve = subscribe('/verified/sse?cname=who3&seq=1&user=eve');
my $bob = subscribe('/claimed/sse?cname=who3&seq=1&user=bob');
my $asked = subscribe('/asked/sse?cname=who3&seq=1&key=carol&user=eve');
same(present('who3'), '4 3: ann=1 bob=1 carol=1', 'eve is nobody');
errors('GET /verified/sub?cname=who3&key=key-of-bad', 400, 'user has a control character');
$_->leave for $ann, $eve;
same(access_log_line(qr/^who3 ann /, 'who.log'), "who3 ann 200\n", '$icomet_user in the log');
same(access_log_line(qr/^who3 - 200/, 'who.log'), "who3 - 200\n", 'and of nobody');



=== TEST 4: a reload keeps members; they are counted once
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %held = map { $_ => subscribe("/icomet/$_?cname=who4&seq=1&user=$_") } qw(sub stream sse iframe);
my $again = subscribe('/icomet/stream?cname=who4&seq=1&user=sse');
my $ws = ws('/icomet/ws?cname=who4&seq=1&user=ws', 'who4');
my $nobody = subscribe('/icomet/stream?cname=who4&seq=1');
for my $round (1 .. 2) {
    reload();
    same(present('who4'), '7 5: iframe=1 sse=2 stream=1 sub=1 ws=1', "after reload $round");
}
push_ok('who4', 'm');
matches($held{sub}->rest, qr/"content":"m"/, 'the long poll is answered');
same($ws->said, data('who4', 1, 'm'), 'ws');
same(present('who4'), '6 4: iframe=1 sse=2 stream=1 ws=1', 'it has left');
$held{sse}->leave;
await_subscribers('who4', 5);
same(present('who4'), '5 4: iframe=1 sse=1 stream=1 ws=1', 'and one of two');
api('disconnect', '{"channel":"who4","user":"sse"}', 200, qq({"channel":"who4","user":"sse","disconnected":1}\n));
same(message($again), data('who4', 1, 'm'), 'what it had before');
same(message($again), data('who4', 2, '', 'close'), 'a member that moved is found');
await_subscribers('who4', 4);



=== TEST 5: a worker that is killed takes its members along
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @held = map { subscribe("/icomet/sse?cname=who5&seq=1&user=u" . $_ % 3) } 1 .. 9;
same(present('who5'), '9 3: u0=3 u1=3 u2=3', 'before');
my @old = worker_pids();
kill 'KILL', @old;
until_true(sub { !grep { kill 0, $_ } @old }, 'they are gone');
until_true(sub { (eval { present('who5') } // '') =~ $NOBODY }, 'nobody is left');
my $held = subscribe('/icomet/sse?cname=who5&seq=1&user=u0');
same(present('who5'), '1 1: u0=1', 'who comes back');
--- no_error_log
[error]



=== TEST 6: disconnect a user from a channel
--- play
push_ok('who6', 'm1');
my %ann = map { $_ => subscribe("/icomet/$_?cname=who6&seq=2&user=ann") } qw(sub stream sse iframe);
my $ws = ws('/icomet/ws?cname=who6&seq=2&user=ann', 'who6');
my $jsonp = subscribe('/icomet/sub?cname=who6&seq=2&user=ann&cb=f');
my $bob = subscribe('/icomet/stream?cname=who6&seq=2&user=bob');
my $nobody = subscribe('/icomet/stream?cname=who6&seq=2');
my $elsewhere = subscribe('/icomet/stream?cname=who6-other&seq=1&user=ann');
api('disconnect', '{"channel":"who6","user":"ann"}', 200, qq({"channel":"who6","user":"ann","disconnected":6}\n));
my $close = data('who6', 2, '', 'close');
for my $transport (sort keys %ann) {
    matches($ann{$transport}->rest, qr/\Q$close\E/, "$transport is told");
    same($ann{$transport}->end, 'complete', "$transport ends");
}
matches($jsonp->rest, qr{\A/\*\*/f\(\Q$close\E\);?\s*\z}, 'JSONP');
same($ws->said, $close, 'ws is told');
same($ws->said, 'close 1008 disconnected', 'and closed by 1008');
await_subscribers('who6', 2);
same(present('who6'), '2 1: bob=1', 'who is left');
carries_on($bob, 'who6', 2, 'bob');
carries_on($elsewhere, 'who6-other', 1, 'another channel');
same(get('/icomet/sub?cname=who6&seq=1&user=ann'), '[' . join(',', data('who6', 1, 'm1'), data('who6', 2, 'm2')) . "]\n", 'who comes back has lost nothing');
api('disconnect', '{"channel":"who6","user":"ann"}', 200, qq({"channel":"who6","user":"ann","disconnected":0}\n));
api('disconnect', '{"channel":"none","user":"ann"}', 404, problem('no_such_channel'));



=== TEST 7: disconnect a user from all channels, on all workers
--- play
my @ann = map { subscribe("/icomet/stream?cname=who7-$_&seq=1&user=ann") } 1 .. 12;
my @bob = map { subscribe("/icomet/stream?cname=who7-$_&seq=1&user=bob") } 1 .. 3;
api('disconnect', '{"user":"ann"}', 200, qq({"user":"ann","disconnected":12}\n));
same(message($ann[$_ - 1]), data("who7-$_", 1, '', 'close'), "channel $_") for 1 .. 12;
same($_->end, 'complete', 'end') for map { $_->rest; $_ } @ann;
until_true(sub { present("who7-$_") =~ ($_ > 3 ? $NOBODY : qr/\A1 1: bob=1\z/) }, "who7-$_") for 1 .. 12;
carries_on($bob[0], 'who7-1', 1, 'bob');
api('disconnect', '{"user":"ann"}', 200, qq({"user":"ann","disconnected":0}\n));
refused(post_json('disconnect', $_->[0]), 400, $_->[1], pointer => $_->[2])
    for ['{}', 'missing_member', '/channel'], ['{"user":7}', 'wrong_type', '/user'], ['{"user":""}', 'bad_member', '/user'],
        ['{"user":"' . 'a' x 129 . '"}', 'bad_member', '/user'], ['{"user":"a\\u0000"}', 'bad_member', '/user'],
        ['{"user":"a","channel":""}', 'bad_member', '/channel'];



=== TEST 8: requests that nginx holds are members, and ended, as well
--- config
    location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %ann = map { $_ => subscribe("/icomet/$_?cname=who8&seq=1&user=ann") } qw(sub stream sse iframe);
my $ws = ws('/icomet/ws?cname=who8&seq=1&user=ann', 'who8');
same(present('who8'), '5 1: ann=5', 'presence');
api('disconnect', '{"user":"ann"}', 200, qq({"user":"ann","disconnected":5}\n));
matches($ann{$_}->rest, qr/\Q@{[data('who8', 1, '', 'close')]}\E/, "$_ is told") for sort keys %ann;
same($ws->said, $_, 'ws') for data('who8', 1, '', 'close'), 'close 1008 disconnected';
await_subscribers('who8', 0);



=== TEST 9: one that takes nothing gets what was under way, then its end
--- hub: channel_buffer_size 4;
--- config
    location ~ ^/parked/       { icomet_park on; icomet_sub main; }
    location ~ ^/held/         { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
--- play
for my $way (qw(parked held)) {
    my $slow = subscribe("/$way/stream?cname=who9$way&seq=1&user=ann", narrow => 16384);
    push_ok("who9$way", $_ x 400_000) for 1 .. 3;
    api('disconnect', '{"user":"ann"}', 200, qq({"user":"ann","disconnected":1}\n));
    my $text = $slow->rest;
    matches(substr($text, -100), qr/\{"type":"close","cname":"who9$way","seq":[1-4],"content":""\}\n\z/, "$way: ends with close");
    same($slow->end, 'complete', "$way: end");
    my ($n) = $text =~ /"close","cname":"\w+","seq":(\d)/;
    my @whole = grep { length == 400_000 } $text =~ /"content":"(\d+)"\}/g;
    same(@whole + 1, $n + 0, "$way: each message before it whole");
}



=== TEST 10: presence and history for subscribers, where the location says so
--- config
    location /open/    { icomet_sub_presence on; icomet_sub_history on; icomet_sub main; }
    location /named/   { icomet_channel $arg_room; icomet_sub_history on; icomet_sub main; }
    location = /fixed  { icomet_sub main presence; }
    location /icomet/  { icomet_sub main; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
--- play
push_ok('who10', "m$_") for 1 .. 3;
my $held = subscribe('/open/sse?cname=who10&seq=4&user=ann');
same(present('who10', '/open/presence?x=1&cname='), '1 1: ann=1', 'presence');
same(get('/open/presence?cname=who10'), get('/icomet-admin/api/presence?channel=who10'), 'as the API tells it');
my $history = get('/icomet-admin/api/history?channel=who10&since=1&limit=1&reverse=true') =~ s/"age_ms":\d+/AGE/gr;
same(get('/open/history?cname=who10&since=1&limit=1&reverse=true&_=7') =~ s/"age_ms":\d+/AGE/gr, $history, 'history as the API tells it');
matches(get('/named/history?room=who10'), qr/"next_seq":4,/, 'the channel that the location says');
matches(get('/fixed?cname=who10'), qr/"users":1,/, 'named by the directive');
answers('GET /open/presence?cname=who10', 200, qr/"users":1,/,
    expect => { 'Access-Control-Allow-Origin' => '*', 'Cache-Control' => 'no-cache, no-transform, private', 'Content-Type' => 'application/json; charset=utf-8' });
refused(http('GET', "$_?cname=none"), 404, 'no_such_channel') for qw(/open/presence /open/history);
refused(http('GET', "/open/history?cname=who10&$_"), 400, 'bad_parameter', parameter => s{=.*}{}r) for qw(since=x limit=0 reverse=yes);
refused(http('GET', "/open/presence?cname=who10&$_"), 400, 'bad_parameter', parameter => s{=.*}{}r) for qw(cursor=x limit=1001);
errors('GET /open/presence', 400, 'cname');
matches(get("/$_->[0]/none"), qr/one of sub, poll, stream, sse, iframe, ws, ping$_->[1]"/, "the endpoints of $_->[0]")
    for ['icomet', ''], ['open', ', presence, history'], ['named', ', history'];
errors("GET $_", 404, 'no such endpoint') for '/icomet/presence?cname=who10', '/icomet/history?cname=who10', '/named/presence?room=who10';
same(http('OPTIONS', '/open/history?cname=who10')->{status}, 204, 'OPTIONS');
same(http('HEAD', '/open/presence?cname=who10')->{status}, 200, 'HEAD');
errors('POST /open/presence?cname=who10', 405, 'use GET', body => 'x');



=== TEST 11: the same with tokens
--- hub: auth token;
--- config
    location /icomet/ { icomet_sub_presence on; icomet_sub_history on; icomet_sub main; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
--- play
get('/icomet-admin/sign?cname=who11') =~ /"token":"(\w+)"/ or die 'no token';
my $token = $1;
push_ok('who11', 'm');
push_ok('who11b', 'm');
for my $endpoint (qw(presence history)) {
    same(http('GET', "/icomet/$endpoint?cname=who11&token=$token")->{status}, 200, "$endpoint with the token");
    refused(http('GET', "/icomet/$endpoint?$_"), 401, 'wrong_token')
        for 'cname=who11', "cname=who11&token=" . '0' x 32, "cname=who11b&token=$token", "cname=none&token=$token";
}



=== TEST 12: a full zone refuses members
--- hub: zone 1m; max_subscribers_per_channel 100000;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
push_ok("who12-$_", 'x' x 60000) for 1 .. 8;
my $refused;
for (1 .. 200) {
    last if ($refused = http('POST', '/icomet-admin/push', body => "cname=who12-fill$_&content=" . 'x' x 3000))->{status} == 507;
}
same($refused->{status}, 507, 'the zone is full');
for (1 .. 400) {
    last if ($refused = http('POST', '/icomet-admin/push', body => "cname=who12-small$_&content=x"))->{status} == 507;
}
same($refused->{status}, 507, 'quite full');
my ($status, @held) = (0);
for my $n (1 .. 200) {
    my $conn = conn()->request('GET', "/icomet/stream?cname=who12-1&seq=2&user=" . sprintf '%0128d', $n);
    $conn->head;
    $status = $conn->{status};
    last if $status != 200;
    push @held, $conn;
}
same($status, 507, 'a member that finds no memory');
same(get('/icomet-admin/info?cname=who12-1'), sprintf(qq({"cname": "who12-1", "subscribers": %d}\n), scalar @held), 'is no subscriber');
--- error_log
the zone of hub "main" is full



=== TEST 13: hooks are told who it is
--- http_config
    icomet_hub main { zone 16m; hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/hook events=online,subscribe,unsubscribe; }
    log_format posts escape=json '$request_body';
    client_body_buffer_size 1m;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location /hook { access_log logs/posts13.log posts; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/taken; }
        location /taken { access_log off; return 204; }
    }
--- play
my $ann = subscribe('/icomet/sse?cname=who13&seq=1&user=ann');
my $nobody = subscribe('/icomet/stream?cname=who13&seq=1');
my $other = subscribe('/icomet/stream?cname=who13b&seq=1');
$_->leave for $ann, $nobody;
await_subscribers('who13', 0);
my @events;
until_true(sub {
    open my $log, '<', Test::Nginx::Util::server_root() . '/logs/posts13.log' or return;
    # nginx escapes the body for JSON, so that it is a string's inside.
    @events = map { @{ decode_json(decode_json(qq(["$_"]))->[0])->{events} } } map { chomp; $_ } <$log>;
    return @events >= 7;
}, 'seven events');
my @told = sort map { join ' ', $_->{type}, $_->{channel}, $_->{transport} // '-', $_->{user} // '-' } @events;
same(join(', ', @told), 'online who13 - ann, online who13b - -, subscribe who13 sse ann, subscribe who13 stream -, subscribe who13b stream -, unsubscribe who13 sse ann, unsubscribe who13 stream -', 'events');



=== TEST 14: a user of several channels is in each, and can be ended in one of them
--- hub: max_subscribers_per_channel 100;
--- play
my @names = qw(many-a many-b);
my %open = map { $_ => subscribe("/icomet/$_?cname=many-a,many-b&seq=1,1&user=ann") } qw(stream sse);
my $poll = subscribe('/icomet/sub?cname=many-a,many-b&seq=1,1&user=ann');
my $ws = ws('/icomet/ws?cname=many-a,many-b&seq=1,1&user=ann', 'many-a');
my $other = subscribe('/icomet/stream?cname=many-a,many-b&seq=1,1&user=bob');
same(present($_), '5 2: ann=4 bob=1', "present in $_") for @names;
api('disconnect', '{"channel":"many-a","user":"ann"}', 200, qr/"disconnected":4/);
same(message($open{$_}), data('many-a', 1, '', 'close'), "$_: close of the one") for sort keys %open;
same($ws->said, data('many-a', 1, '', 'close'), 'WebSocket: close of the one');
$poll->head;
same($poll->rest, '[' . data('many-a', 1, '', 'close') . "]\n", 'long poll');
until_true(sub { present('many-a') eq '1 1: bob=1' }, 'ann has left the one');
same(present('many-b'), '4 2: ann=3 bob=1', 'and not the other');
push_ok($_, 'x') for @names;
same(message($open{$_}), data('many-b', 1, 'x'), "$_: of the other") for sort keys %open;
same($ws->said, data('many-b', 1, 'x'), 'WebSocket: of the other');
same(join(' ', sort map { message($other) } 1 .. 2), join(' ', map { data($_, 1, 'x') } @names), 'bob has both');
api('disconnect', '{"user":"ann"}', 200, qr/"disconnected":3/);
for (sort keys %open) {
    same(message($open{$_}), data('many-b', 2, '', 'close'), "$_: close of all");
    same($open{$_}->end, 'complete', "$_: end");
}
same($ws->said, data('many-b', 2, '', 'close'), 'WebSocket: close of all');
matches($ws->said, qr/\Aclose 1008 /, 'WebSocket: end');
until_true(sub { present('many-b') eq '1 1: bob=1' }, 'ann has left');
