# disconnect that asks to stay away, or takes the token; on four workers.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

our @ENDLESS = qw(stream sse iframe);

sub ws {
    my $ws = IcometTest::Socket->new(conn(), @_);
    $ws->status;
    return $ws;
}

sub away { my ($cname, $seq) = @_; return data($cname, $seq, 'stay_away', 'close') }

# One of each transport, all of them counted.
sub everybody {
    my ($uri, $cname) = @_;
    my $before = subscribers($cname);
    my %held = map { $_ => conn()->request('GET', "/icomet/$_?$uri") } 'sub', @ENDLESS;
    $held{jsonp} = conn()->request('GET', "/icomet/sub?$uri&cb=f");
    $held{ws} = ws("/icomet/ws?$uri");
    await_subscribers($cname, $before + 6);
    return \%held;
}

# Each of them is told so, and ended; of several channels in an array.
sub told {
    my ($held, $many, @ends) = @_;
    my $poll = join ',', @ends;
    $poll = "[$poll]" if $many;
    for my $transport (@ENDLESS) {
        my $text = $held->{$transport}->rest;
        matches($text, qr/\Q$_\E/, "$transport is told") for @ends;
        same($held->{$transport}->end, 'complete', "$transport ends");
    }
    same($held->{sub}->rest, "$poll\n", 'long poll');
    same($held->{jsonp}->rest, "/**/f($poll);\n", 'JSONP');
    same($held->{ws}->said, $_, 'WebSocket is told') for @ends;
    same($held->{ws}->said, 'close 4403 stay away', 'WebSocket ends');
    return;
}

sub token { return get("/icomet-admin/sign?cname=$_[0]") =~ /"token":"(\w+)"/ ? $1 : 'none' }

set_up(workers => 4);
run_tests();

__DATA__

=== TEST 1: a channel's subscribers are told to stay away, on every transport
--- play
push_ok('away1', 'm');
my $held = everybody('cname=away1&seq=2', 'away1');
my $other = subscribe('/icomet/stream?cname=away1b&seq=1');
api('disconnect', '{"channel":"away1","stay_away":true}', 200, qq({"channel":"away1","disconnected":6}\n));
told($held, 0, away('away1', 2));
await_subscribers('away1', 0);
carries_on($other, 'away1b', 1, 'another channel');
push_ok('away1', 'n');
same(get('/icomet/sub?cname=away1&seq=1'), '[' . join(',', data('away1', 1, 'm'), data('away1', 2, 'n')) . "]\n", 'the channel goes on');
my $again = subscribe('/icomet/stream?cname=away1&seq=3');
api('disconnect', '{"channel":"away1","stay_away":false}', 200, qq({"channel":"away1","disconnected":1}\n));
same(message($again), data('away1', 3, '', 'close'), 'nothing is left of it');



=== TEST 2: a user is told to stay away, and nobody else
--- play
my $held = everybody('cname=away2&seq=1&user=ann', 'away2');
my $bob = subscribe('/icomet/stream?cname=away2&seq=1&user=bob');
api('disconnect', '{"user":"ann","stay_away":true}', 200, qq({"user":"ann","disconnected":6}\n));
told($held, 0, away('away2', 1));
await_subscribers('away2', 1);
$held = everybody('cname=away2&seq=1&user=ann', 'away2');
api('disconnect', '{"user":"ann","channel":"away2","stay_away":true}', 200, qq({"channel":"away2","user":"ann","disconnected":6}\n));
told($held, 0, away('away2', 1));
await_subscribers('away2', 1);
carries_on($bob, 'away2', 1, 'bob');



=== TEST 3: the same of requests that nginx holds
--- config
    location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $whom ('"channel":"away3"', '"user":"ann"') {
    my $held = everybody('cname=away3&seq=1&user=ann', 'away3');
    api('disconnect', "{$whom,\"stay_away\":true}", 200, qr/"disconnected":6/);
    told($held, 0, away('away3', 1));
    await_subscribers('away3', 0);
}



=== TEST 4: of several channels: of all, and of one
--- hub: max_subscribers_per_channel 100;
--- play
my $uri = 'cname=away4a,away4b&seq=1,1&user=ann';
my $held = everybody($uri, 'away4a');
api('disconnect', '{"user":"ann","stay_away":true}', 200, qr/"disconnected":6/);
told($held, 1, away('away4a', 1), away('away4b', 1));
await_subscribers('away4b', 0);
my $round = 0;
for my $whom ('"channel":"away4a"', '"user":"ann","channel":"away4a"') {
    $held = everybody($uri =~ s/1,1/'1,' . (1 + $round++)/er, 'away4a');
    api('disconnect', "{$whom,\"stay_away\":true}", 200, qr/"disconnected":6/);
    same($held->{sub}->rest, '[' . away('away4a', 1) . "]\n", 'long poll');
    same($held->{jsonp}->rest, '/**/f([' . away('away4a', 1) . "]);\n", 'JSONP');
    same($held->{ws}->said, away('away4a', 1), 'WebSocket');
    same(message($held->{$_}), away('away4a', 1), $_) for qw(stream sse);
    await_subscribers('away4a', 0);
    await_subscribers('away4b', 4);
    push_ok('away4b', 'x');
    matches($held->{ws}->said, qr/"cname":"away4b","seq":\d,"content":"x"/, 'the other channel goes on');
    matches(message($held->{$_}), qr/"cname":"away4b","seq":\d,"content":"x"/, "$_: the other channel goes on") for qw(stream sse);
    $_->leave for @$held{@ENDLESS}, $held->{ws}->conn;
    await_subscribers('away4b', 0);
}



=== TEST 5: one that takes nothing gets what was under way, then its end
--- hub: channel_buffer_size 4;
--- config
    location ~ ^/parked/       { icomet_park on; icomet_sub main; }
    location ~ ^/held/         { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
--- play
for my $way (qw(parked held)) {
    my $slow = subscribe("/$way/stream?cname=away5$way&seq=1&user=ann", narrow => 16384);
    push_ok("away5$way", $_ x 400_000) for 1 .. 3;
    api('disconnect', '{"user":"ann","stay_away":true}', 200, qr/"disconnected":1/);
    my $text = $slow->rest;
    matches(substr($text, -100), qr/\{"type":"close","cname":"away5$way","seq":[1-4],"content":"stay_away"\}\n\z/, "$way: ends with close");
    same($slow->end, 'complete', "$way: end");
    $slow = subscribe("/$way/stream?cname=away5$way&seq=0&user=ann", narrow => 16384);
    push_ok("away5$way", $_ x 400_000) for 1 .. 3;
    api('disconnect', qq({"channel":"away5$way","stay_away":true}), 200, qr/"disconnected":1/);
    matches(substr($slow->rest, -100), qr/"type":"close","cname":"away5$way","seq":\d,"content":"stay_away"\}\n\z/, "$way: ends with close, by the channel");
}



=== TEST 6: told by whichever worker has them, while they move to new ones
--- hub: max_subscribers_per_channel 1000;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $round (1 .. 4) {
    my ($one, $two) = ("away6-$round", "away6-$round-b");
    my @held = map {
        my $uri = $_ % 2 ? "cname=$one&seq=1" : "cname=$one,$two&seq=1,1";
        conn()->request('GET', "/icomet/stream?$uri&user=ann");
    } 1 .. 160;
    await_subscribers($one, 160);
    my @old = worker_pids();
    kill 'HUP', master_pid();
    if ($round > 1) {
        until_true(sub { my @now = worker_pids(); grep { my $pid = $_; !grep { $_ == $pid } @old } @now }, 'there is a new worker');
    }
    get('/alive') for 3 .. $round;
    if ($round % 2) {
        api('disconnect', "{\"channel\":\"$_\",\"stay_away\":true}", 200, qr/"disconnected":\d+/) for $one, $two;
    }
    else {
        api('disconnect', '{"user":"ann","stay_away":true}', 200, qr/"disconnected":\d+/);
    }
    my $ends = 0;
    for my $conn (@held) {
        my $text = $conn->rest // '';
        $ends += () = $text =~ /"type":"close","cname":"[^"]+","seq":1,"content":"stay_away"/g;
    }
    # Under valgrind workers are so slow that the reload itself ends some: they come back, and are not told.
    same($ends, 240, "round $round: each is told of each channel") unless $ENV{TEST_NGINX_USE_VALGRIND};
    same(scalar(grep { $_->end eq 'complete' } @held), 160, "round $round: all are ended");
    until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
    await_subscribers($_, 0) for $one, $two;
}



=== TEST 7: revoke: the old token is worth nothing, on every way in
--- hub: auth token;
--- config
    location ~ ^/icomet/        { icomet_sub_presence on; icomet_sub_history on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $old = token('away7');
push_ok('away7', 'm');
my $held = everybody("cname=away7&seq=2&token=$old", 'away7');
api('disconnect', '{"channel":"away7"}', 200, qr/"disconnected":6\}/);
matches($held->{stream}->rest, qr/"type":"close","cname":"away7","seq":2,"content":""/, 'without revoke');
$held->{$_}->rest for qw(sub jsonp sse iframe);
await_subscribers('away7', 0);
same(get("/icomet/sub?cname=away7&seq=1&token=$old"), data('away7', 1, 'm') =~ s/(.*)/[$1]\n/r, 'the old token is good');
$held = everybody("cname=away7&seq=2&token=$old", 'away7');
api('disconnect', '{"channel":"away7","revoke":true,"stay_away":true}', 200, qq({"channel":"away7","disconnected":6,"revoked":true}\n));
told($held, 0, away('away7', 2));
for my $transport ('sub', @ENDLESS) {
    matches(get("/icomet/$transport?cname=away7&seq=2&token=$old"), qr/"type":"401","cname":"away7"/, "$transport: 401");
}
my $ws = ws("/icomet/ws?cname=away7&seq=2&token=$old");
matches($ws->said, qr/"type":"401"/, 'ws: 401');
refused(http('GET', "/icomet/$_?cname=away7&token=$old"), 401, 'wrong_token') for qw(presence history);
my $new = token('away7');
same($new ne $old ? 'another' : 'the same', 'another', 'sign gives another');
matches(get("/icomet/sub?cname=away7&seq=2&token=$old"), qr/"type":"401"/, 'which does not make the old one good');
matches(get("/icomet/sub?cname=away7&seq=1&token=$new"), qr/"seq":1,"content":"m"/, 'the channel went on');
api('disconnect', '{"channel":"away7","revoke":true}', 200, qq({"channel":"away7","disconnected":0,"revoked":true}\n));
api('disconnect', '{"channel":"away7","revoke":true}', 200, qq({"channel":"away7","disconnected":0,"revoked":false}\n));
matches(get("/icomet/sub?cname=away7&seq=1&token=$new"), qr/"type":"401"/, 'also without subscribers');
matches(get("/icomet/sub?cname=away7&seq=1&token=" . '0' x 32), qr/"type":"401"/, 'no token is not a token of zeros');



=== TEST 8: revoke with a user: the channel's token, for everybody who comes
--- hub: auth token;
--- play
my $old = token('away8');
my $ann = subscribe("/icomet/stream?cname=away8&seq=1&user=ann&token=$old");
my $bob = subscribe("/icomet/stream?cname=away8&seq=1&user=bob&token=$old");
api('disconnect', '{"channel":"away8","user":"ann","revoke":true}', 200, qq({"channel":"away8","user":"ann","disconnected":1,"revoked":true}\n));
same(message($ann), data('away8', 1, '', 'close'), 'ann is ended');
carries_on($bob, 'away8', 1, 'bob stays');
matches(get("/icomet/sub?cname=away8&seq=1&user=$_&token=$old"), qr/"type":"401"/, "$_ needs the new one") for qw(ann bob);
my $new = token('away8');
matches(get("/icomet/sub?cname=away8&seq=1&user=bob&token=$new"), qr/"seq":1/, 'and comes in with it');
until_true(sub { subscribers('away8') == 1 }, 'bob is there');
refused(post_json('disconnect', $_->[0]), 400, $_->[1], pointer => $_->[2])
    for ['{"user":"bob","revoke":true}', 'bad_member', '/revoke'], ['{"channel":"away8","revoke":"yes"}', 'wrong_type', '/revoke'],
        ['{"channel":"away8","revoke":""}', 'wrong_type', '/revoke'], ['{"channel":"away8","stay_away":1}', 'wrong_type', '/stay_away'],
        ['{"revoke":true,"stay_away":true}', 'missing_member', '/channel'];
same(subscribers('away8'), 1, 'a mistake ends nobody');
matches(get("/icomet/sub?cname=away8&seq=1&token=$new"), qr/"seq":1/, 'and revokes nothing');
api('disconnect', "{$_,\"revoke\":true}", 404, problem('no_such_channel')) for '"channel":"none"', '"channel":"none","user":"ann"';
