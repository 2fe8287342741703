# What a publisher says of a message: how long it lasts, its event's name, and whom it is kept from.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: the event's name is a member of the message, and a field of SSE
--- play
my $epoch = epoch_of('opt1');
my %of = map { $_ => subscribe("/icomet/$_?cname=opt1&seq=1") } qw(sub stream sse iframe);
my $jsonp = subscribe('/icomet/sub?cname=opt1&seq=1&cb=f');
await_subscribers('opt1', 5);
api('publish', '{"channel":"opt1","content":"hi","event":"price \"</up\""}', 200, qr/"seq":1,/);
my $json = '{"type":"data","cname":"opt1","seq":1,"content":"hi","event":"price \"</up\""}';
same($of{sub}->rest, "$json\n", 'long poll');
same($jsonp->rest, "/**/f($json);\n", 'JSONP');
same($of{stream}->line, "$json\n", 'stream');
same($of{sse}->event, "id: $epoch-1\nevent: price \"</up\"\ndata: $json\n\n", 'SSE');
my $escaped = $json =~ s/</\\u003c/r;
my $line = '';
$line = $of{iframe}->line until $line =~ /parent/;
same($line, "<script>parent.icomet_cb($escaped);</script>\n", 'iframe');
push_ok('opt1', 'plain');
same($of{sse}->event, "id: $epoch-2\ndata: " . data('opt1', 2, 'plain') . "\n\n", 'the next has none');
same(get('/icomet/sub?cname=opt1&seq=1'), "[$json," . data('opt1', 2, 'plain') . "]\n", 'replayed');
matches(get('/icomet-admin/api/history?channel=opt1'), qr/"messages":\[\{"seq":1,"type":"data","age_ms":\d+,"content":"hi","event":"price \\"<\/up\\""\},\{"seq":2,"type":"data","age_ms":\d+,"content":"plain"\}\]/, 'history');



=== TEST 2: push and pub take event and ttl, from the query or the form
--- play
answers('GET /icomet-admin/push?cname=opt2&content=a&event=e+1', 200, qq({"type":"ok"}\n));
answers('GET /icomet-admin/pub?cname=opt2&content=b&event=e2&ttl=60', 200, qq({"type":"ok"}\n));
same(post('/icomet-admin/push', 'cname=opt2&content=c&event=e%C3%A4&ttl=0.5'), qq({"type":"ok"}\n), 'POST');
answers('GET /icomet-admin/push?cname=opt2&content=d&event=&ttl=', 200, qq({"type":"ok"}\n));
my $m = sub { my ($n, $text, $event) = @_; data('opt2', $n, $text) =~ s/\}\z/,"event":"$event"}/r };
my $all = join ',', $m->(1, 'a', 'e 1'), $m->(2, 'b', 'e2');
until_true(sub { get('/icomet/sub?cname=opt2&seq=1') eq "[$all," . data('opt2', 4, 'd') . "]\n" }, 'the third ends');
errors("GET /icomet-admin/push?cname=opt2&content=x&ttl=$_", 400, 'a ttl is a number of seconds, more than 0') for qw(0 -1 x 31536001 1s);
errors("GET /icomet-admin/push?cname=opt2&content=x&event=$_", 400, "an event's name has 1 to 64 characters") for '%0A', 'a%0Db', '%00', '%FF', 'e' x 65;
matches(get('/icomet-admin/api/history?channel=opt2'), qr/"next_seq":5/, 'what is refused is not published');



=== TEST 3: a message that has ended is in no answer, and nobody is told that it is lost
--- hub: zone 5m;
--- play
my $epoch = epoch_of('opt3');
push_ok('opt3', 'm1');
api('publish', '{"channel":"opt3","content":"gone","ttl":0.2}', 200, qr/"seq":2/);
push_ok('opt3', 'm3');
until_true(sub { get('/icomet-admin/api/history?channel=opt3') !~ /gone/ }, 'it ends');
matches(get('/icomet-admin/api/history?channel=opt3'), qr/"next_seq":4,"lost":0,"more":false,"messages":\[\{"seq":1,[^}]*\},\{"seq":3,[^}]*\}\]/, 'history');
same(get('/icomet/sub?cname=opt3&seq=1'), '[' . data('opt3', 1, 'm1') . ',' . data('opt3', 3, 'm3') . "]\n", 'long poll');
same(get('/icomet/sub?cname=opt3&seq=2'), '[' . data('opt3', 3, 'm3') . "]\n", 'resumed over it');
my $stream = subscribe('/icomet/stream?cname=opt3&seq=2');
same($stream->line, data('opt3', 3, 'm3') . "\n", 'stream');
my $sse = subscribe('/icomet/sse?cname=opt3', headers => ["Last-Event-ID: $epoch-1"]);
same($sse->event, "id: $epoch-3\ndata: " . data('opt3', 3, 'm3') . "\n\n", 'SSE, resumed over it');
until_true(sub { get('/icomet-admin/info?detail=1') =~ /"messages":2,/ }, 'its memory is free');
same(get('/icomet/sub?cname=opt3&seq=2'), '[' . data('opt3', 3, 'm3') . "]\n", 'that changes nothing for clients');
matches(get('/icomet-admin/info?detail=1'), qr/"lost":\{"notices":0,"messages":0\}/, 'nothing is lost');



=== TEST 4: who comes behind nothing but ended messages waits, and has them behind it
--- play
my $epoch = epoch_of('opt4');
api('publish', '{"channel":"opt4","content":"gone","ttl":0.2}', 200, qr/"seq":1/);
until_true(sub { get('/icomet-admin/api/history?channel=opt4') !~ /gone/ }, 'it ends');
my $poll = subscribe('/icomet/sub?cname=opt4&seq=1');
my $stream = subscribe('/icomet/stream?cname=opt4&seq=1');
await_subscribers('opt4', 2);
push_ok('opt4', 'next');
same($poll->rest, data('opt4', 2, 'next') . "\n", 'long poll');
same($poll->header('ETag'), qq("$epoch-2"), 'ETag');
same($stream->line, data('opt4', 2, 'next') . "\n", 'stream');
api('publish', '{"channel":"opt4","content":"gone","ttl":0.2}', 200, qr/"seq":3/);
until_true(sub { get('/icomet-admin/api/history?channel=opt4') !~ /gone/ }, 'another ends');
answers('GET /icomet/sub?cname=opt4&seq=3&wait=0', 200, "[]\n", expect => { ETag => qq("$epoch-3") });



=== TEST 5: messages end also where subscribers wait, and while they are live they are delivered
--- hub: zone 6m;
--- play
my $stream = subscribe('/icomet/stream?cname=opt5&seq=1');
$stream->head;
api('publish', '{"channel":"opt5","content":"short","ttl":1}', 200, qr/"seq":1,"subscribers":1/);
same($stream->line, data('opt5', 1, 'short') . "\n", 'delivered');
until_true(sub { get('/icomet-admin/info?detail=1') =~ /"messages":0,/ }, 'its memory is free');
push_ok('opt5', 'after');
same($stream->line, data('opt5', 2, 'after') . "\n", 'the stream goes on');



=== TEST 6: a batch has options for each message; a text body has them in the query
--- play
api('batch', '{"messages":[{"channel":"opt6","content":1,"event":"e1"},{"channel":"opt6","content":2,"ttl":0.1},{"channel":"opt6","content":3,"exclude":"alice"}]}',
    200, qr/"results":\[\{"message":0,"channel":"opt6","epoch":"[^"]*","seq":1,.*"seq":3,/);
same(post_text('/icomet-admin/api/publish?channel=opt6&event=e%204&ttl=60&exclude=bob', 'text/plain', 'text')->{status}, 200, 'text');
until_true(sub {
    get('/icomet/sub?cname=opt6&seq=1') eq '['
        . join(',', data('opt6', 1, '1') =~ s/\}\z/,"event":"e1"}/r, data('opt6', 3, '3'), data('opt6', 4, 'text') =~ s/\}\z/,"event":"e 4"}/r) . "]\n"
}, 'all that is left');
refused(post_text("/icomet-admin/api/publish?channel=opt6&$_->[0]", 'text/plain', 'x'), 400, 'bad_parameter', parameter => $_->[1])
    for ['ttl=0', 'ttl'], ['ttl=x', 'ttl'], ['event=', 'event'], ['event=%0a', 'event'], ['exclude=', 'exclude'];



=== TEST 7: an id is of a message with its options
--- play
my $publish = sub { post_json('publish', '{"channel":"opt7","content":"x","id":"i"' . $_[0] . '}') };
same($publish->(',"event":"e","ttl":60,"exclude":"u"')->{status}, 200, 'published');
matches($publish->(',"event":"e","ttl":60,"exclude":"u"')->{text}, qr/"seq":1,.*"duplicate":true/, 'again');
refused($publish->($_), 422, 'id_reused') for ',"event":"f","ttl":60,"exclude":"u"', ',"event":"e","ttl":61,"exclude":"u"', ',"event":"e","ttl":60', '';



=== TEST 8: icomet_publish takes them as well
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location /order { return 204; icomet_publish opt8 $uri event=order ttl=200ms; icomet_publish opt8 kept main event=kept; }
--- play
http('GET', '/order/1');
await_check('opt8', 1);
until_true(sub { get('/icomet/sub?cname=opt8&seq=1&wait=0') eq '[' . (data('opt8', 2, 'kept') =~ s/\}\z/,"event":"kept"}/r) . "]\n" }, 'one ends, the other stays');
