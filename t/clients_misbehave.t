# Clients that go away half, send what nobody asked for, or send the next request before its time.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

set_up();
run_tests();

__DATA__

=== TEST 1: a client that closes its writing side has gone
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "misbehave1-$transport";
    my $stays = subscribe("/icomet/$transport?cname=$cname&seq=1");
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1");
    $conn->half_close;
    await_subscribers($cname, 1);
    # It is told nothing more: the connection ends.
    my $rest = $conn->closed;
    same($rest =~ /"type"/ ? 'told' : 'not told', 'not told', "$transport: no message");
    push_ok($cname, 'x');
    same(message($stays), data($cname, 1, 'x'), "$transport: who stayed is unharmed");
}



=== TEST 2: a client that closes its writing side together with its request
--- play
for my $transport ('sub', @STREAMS) {
    my $conn = conn()->request('GET', "/icomet/$transport?cname=misbehave2-$transport&seq=1");
    $conn->half_close;
    $conn->closed;
    await_subscribers("misbehave2-$transport", 0);
}



=== TEST 3: clients that reset, before and after something was sent
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "misbehave3-$transport";
    my $stays = subscribe("/icomet/$transport?cname=$cname&seq=1");
    my $early = subscribe("/icomet/$transport?cname=$cname&seq=1");
    $early->reset;
    await_subscribers($cname, 1);
    my $late = subscribe("/icomet/$transport?cname=$cname&seq=1");
    push_ok($cname, 'x');
    # Unread bytes on the client's side.
    $late->reset;
    same(message($stays), data($cname, 1, 'x'), "$transport: who stayed is unharmed");
    await_subscribers($cname, $transport eq 'sub' ? 0 : 1);
}



=== TEST 4: messages to a client that has reset, before nginx has noticed
--- play
for my $transport ('sub', @STREAMS) {
    for my $round (1 .. 10) {
        my $cname = "misbehave4-$transport-$round";
        my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1");
        $round % 2 ? $conn->reset : $conn->leave;
        push_ok($cname, 'x') for 1 .. 3;
        await_subscribers($cname, 0);
        same(get("/icomet/sub?cname=$cname&seq=1"), '[' . join(',', map { data($cname, $_, 'x') } 1 .. 3) . "]\n", "$transport $round: the channel");
    }
}



=== TEST 5: two long polls in one write: both are answered, in order
--- play
my $conn = conn();
$conn->write(join '', map { "GET /icomet/sub?cname=misbehave5-$_&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n" } 1 .. 2);
await_subscribers('misbehave5-1', 1);
same(subscribers('misbehave5-2'), 0, 'the second has to wait for its turn');
# The second one's message is there first.
push_ok('misbehave5-2', 'second');
push_ok('misbehave5-1', 'first');
same($conn->rest, data('misbehave5-1', 1, 'first') . "\n", 'first');
same($conn->next_answer->rest, '[' . data('misbehave5-2', 1, 'second') . "]\n", 'second');
same($conn->request('GET', '/alive')->rest, "alive\n", 'the connection goes on');



=== TEST 6: two long polls in one write, both of which wait
--- play
my $conn = conn();
$conn->write(join '', map { "GET /icomet/sub?cname=misbehave6-$_&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n" } 1 .. 2);
for (1 .. 2) {
    await_subscribers("misbehave6-$_", 1);
    push_ok("misbehave6-$_", "m$_");
    same($conn->rest, data("misbehave6-$_", 1, "m$_") . "\n", "poll $_");
    $conn->next_answer;
}
same($conn->request('GET', '/alive')->rest, "alive\n", 'the connection goes on');



=== TEST 7: a publish on the poll's own connection waits for the poll's answer
--- play
my $conn = conn()->request('GET', '/icomet/sub?cname=misbehave7&seq=1');
await_subscribers('misbehave7', 1);
my $body = 'cname=misbehave7&content=second';
$conn->write("POST /icomet-admin/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    . length($body) . "\r\n\r\n$body" . "GET /icomet/ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
push_ok('misbehave7', 'first');
same($conn->rest, data('misbehave7', 1, 'first') . "\n", 'the poll');
same($conn->next_answer->rest, qq({"type":"ok"}\n), 'the publish');
same($conn->next_answer->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'the ping');
same(get('/icomet/sub?cname=misbehave7&seq=2'), '[' . data('misbehave7', 2, 'second') . "]\n", 'what was published');



=== TEST 8: a request that comes in pieces while the poll waits
--- play
my $conn = conn()->request('GET', '/icomet/sub?cname=misbehave8&seq=1');
await_subscribers('misbehave8', 1);
$conn->write("GET /icomet/sub?cname=misb");
same(get('/alive'), "alive\n", 'others are served');
same(subscribers('misbehave8'), 1, 'the poll still waits');
push_ok('misbehave8', 'x');
same($conn->rest, data('misbehave8', 1, 'x') . "\n", 'the poll');
$conn->next_answer;
$conn->write("ehave8&seq=1 HTTP/1.1\r\nHo");
same(get('/alive'), "alive\n", 'others are served');
$conn->write("st: localhost\r\n\r\n");
same($conn->rest, '[' . data('misbehave8', 1, 'x') . "]\n", 'the request that came in pieces');



=== TEST 9: a client that leaves in the middle of its next request
--- play
my $conn = conn()->request('GET', '/icomet/sub?cname=misbehave9&seq=1');
await_subscribers('misbehave9', 1);
$conn->write("GET /icomet/sub?cname=misb");
$conn->leave;
await_subscribers('misbehave9', 0);



=== TEST 10: nonsense while a poll waits: the poll is answered, the nonsense refused
--- play
my $conn = conn()->request('GET', '/icomet/sub?cname=misbehave10&seq=1');
await_subscribers('misbehave10', 1);
$conn->write("\x00\x01 no request at all\r\n\r\n");
same(get('/alive'), "alive\n", 'others are served');
push_ok('misbehave10', 'x');
same($conn->rest, data('misbehave10', 1, 'x') . "\n", 'the poll');
same($conn->next_answer->head, 400, 'the nonsense');
$conn->rest;
same($conn->closed, '', 'then the connection is closed');



=== TEST 11: nonsense on streams harms nobody
--- play
for my $transport (@STREAMS) {
    my $cname = "misbehave11-$transport";
    my $stays = subscribe("/icomet/$transport?cname=$cname&seq=1");
    my @junk = map { subscribe("/icomet/$transport?cname=$cname&seq=1") } 1 .. 3;
    $junk[0]->write("\x16\x03\x01 nonsense\r\n\r\n");
    $junk[1]->write('y' x 100_000);
    $junk[2]->write("GET /icomet/ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
    push_ok($cname, "m$_") for 1 .. 3;
    same(message($stays), data($cname, $_, "m$_"), "$transport: message $_ to another") for 1 .. 3;
    # Each has ended, by the server.
    await_subscribers($cname, 1);
    $_->closed for @junk;
    push_ok($cname, 'last');
    same(message($stays), data($cname, 4, 'last'), "$transport: the last message");
}



=== TEST 12: a GET with a body: whole with the request, after it, and never whole
--- config
    # nginx waits this long for the rest of a body whose client has gone.
    lingering_timeout 100ms;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $text = sub {
    my ($uri, $length, $body) = @_;
    return "GET $uri HTTP/1.1\r\nHost: localhost\r\nContent-Length: $length\r\n\r\n$body";
};
my $conn = conn();
$conn->write($text->('/icomet/sub?cname=misbehave12&seq=1', 10, '0123456789'));
await_subscribers('misbehave12', 1);
push_ok('misbehave12', 'x');
same($conn->rest, data('misbehave12', 1, 'x') . "\n", 'whole');
$conn->next_answer;
same($conn->request('GET', '/alive')->rest, "alive\n", 'the connection goes on');
$conn->leave;
# Nobody is subscribed before the body is through: nginx reads the connection as that body, and would
# not see the client leave.
for my $transport ('sub', @STREAMS) {
    my $cname = "misbehave12-$transport";
    for my $rest ('', '56789') {
        my $one = conn();
        $one->write($text->("/icomet/$transport?cname=$cname&seq=1", 10, '01234'));
        same($one->head, 400, "$transport: status");
        same($one->header('Connection'), 'close', "$transport: Connection");
        $one->write($rest) if $rest;
        matches($one->rest, qr/a subscription takes no body/, "$transport: why");
        $one->leave;
    }
    same(get("/icomet-admin/check?cname=$cname"), "{}\n", "$transport: nobody is subscribed");
}



=== TEST 13: a body in chunks, a body of another length than it says, and a request behind it
--- play
my $conn = conn();
$conn->write("GET /icomet/sub?cname=misbehave13&seq=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    . "GET /icomet/ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
await_subscribers('misbehave13', 1);
push_ok('misbehave13', 'x');
same($conn->rest, data('misbehave13', 1, 'x') . "\n", 'the poll');
same($conn->next_answer->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'the ping behind it');
$conn->next_answer;
$conn->write("GET /icomet/sub?cname=misbehave13&seq=2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcGET /icomet/ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
await_subscribers('misbehave13', 1);
push_ok('misbehave13', 'y');
same($conn->rest, data('misbehave13', 2, 'y') . "\n", 'the poll');
same($conn->next_answer->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'the ping behind it');



=== TEST 14: blank lines before the next request
--- play
my $conn = conn()->request('GET', '/icomet/sub?cname=misbehave14&seq=1');
await_subscribers('misbehave14', 1);
$conn->write("\r\n");
push_ok('misbehave14', 'x');
same($conn->rest, data('misbehave14', 1, 'x') . "\n", 'the poll');
same($conn->request('GET', '/alive')->rest, "alive\n", 'the next request');
