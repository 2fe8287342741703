# pub and push: by GET and POST, small and large, raw and escaped.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: push by GET
--- play
answers('GET /icomet-admin/push?cname=publish1&content=hi', 200, qq({"type":"ok"}\n),
    expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
same(get('/icomet/sub?cname=publish1&seq=1'), '[' . data('publish1', 1, 'hi') . "]\n", 'it is there');



=== TEST 2: pub by GET
--- play
answers('GET /icomet-admin/pub?cname=publish2&content=' . encode('a\\"b\\u00e4\\n'), 200, qq({"type":"ok"}\n),
    expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
same(get('/icomet/sub?cname=publish2&seq=1'), qq([{"type":"data","cname":"publish2","seq":1,"content":"a\\"b\\u00e4\\n"}]\n),
    'it is as it was sent');



=== TEST 3: cb
--- play
for my $endpoint (qw(pub push)) {
    answers("GET /icomet-admin/$endpoint?cname=publish3&content=x&cb=a.b", 200, qq(/**/a.b({"type":"ok"});\n),
        expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
    same(post("/icomet-admin/$endpoint", 'cname=publish3&content=x&cb=f'), qq(/**/f({"type":"ok"});\n), "POST $endpoint");
}



=== TEST 4: POST: the body's values win over the query's, which fill what is missing
--- play
same(post('/icomet-admin/push', 'cname=publish4&content=body'), qq({"type":"ok"}\n), 'all in the body');
same(post('/icomet-admin/push?cname=publish4&content=query', 'content=both'), qq({"type":"ok"}\n), 'in both');
same(post('/icomet-admin/pub?content=query', 'cname=publish4'), qq({"type":"ok"}\n), 'one in each');
same(post('/icomet-admin/pub?cname=publish4&content=empty+body', ''), qq({"type":"ok"}\n), 'an empty body');
same(http('POST', '/icomet-admin/pub?cname=publish4&content=no+body', headers => ['Content-Length: 0'])->{text},
    qq({"type":"ok"}\n), 'no body');
same(get('/icomet/sub?cname=publish4&seq=1'),
    '[' . join(',', data('publish4', 1, 'body'), data('publish4', 2, 'both'), data('publish4', 3, 'query'),
        data('publish4', 4, 'empty body'), data('publish4', 5, 'no body')) . "]\n", 'what came');



=== TEST 5: percent-decoding, and plus as a space
--- play
get('/icomet-admin/push?cname=publish5&content=a+b%2Bc%20d%26e%3Df%25g');
post('/icomet-admin/push', 'cname=publish5&content=a+b%2Bc%20d%26e%3Df%25g');
same(get('/icomet/sub?cname=publish5&seq=1'), '[' . data('publish5', 1, 'a b+c d&e=f%g') . ',' . data('publish5', 2, 'a b+c d&e=f%g') . "]\n", 'decoded');



=== TEST 6: push escapes every control character, quotes and backslashes
--- play
my $content = join '', map { chr } 0 .. 127;
push_ok('publish6', $content);
my $expected = '\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016'
    . '\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f !\\"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`'
    . 'abcdefghijklmnopqrstuvwxyz{|}~\u007f';
same(get('/icomet/sub?cname=publish6&seq=1'), qq([{"type":"data","cname":"publish6","seq":1,"content":"$expected"}]\n), 'all of ASCII');
my $sse = subscribe('/icomet/sse?cname=publish6&seq=1');
matches($sse->event, qr/\A[^\n]*\ndata: \Q{"type":"data","cname":"publish6","seq":1,"content":"$expected"}\E\n\n\z/, 'in one event');
my $stream = subscribe('/icomet/stream?cname=publish6&seq=1');
same($stream->line, qq({"type":"data","cname":"publish6","seq":1,"content":"$expected"}\n), 'in one line');



=== TEST 7: push takes UTF-8 as it is, and makes it of what is none
--- play
push_ok('publish7', "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
push_ok('publish7', "a\xffb\xc3(");
same(get('/icomet/sub?cname=publish7&seq=1'),
    qq([{"type":"data","cname":"publish7","seq":1,"content":"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},)
    . qq!{"type":"data","cname":"publish7","seq":2,"content":"a\xef\xbf\xbdb\xef\xbf\xbd("}]\n!, 'body');



=== TEST 8: pub takes every valid JSON string body
--- play
my @contents = ('plain', '\\"\\\\\\/\\b\\f\\n\\r\\t', '\\u0041\\u00E4\\ud83d\\ude00', "\xc3\xa4", '{\\"a\\":[1,2]}', "\x7f", '</script>');
post('/icomet-admin/pub', 'cname=publish8&content=' . encode($_)) for @contents;
my $seq = 0;
same(get('/icomet/sub?cname=publish8&seq=1'),
    '[' . join(',', map { $seq++; qq({"type":"data","cname":"publish8","seq":$seq,"content":"$_"}) } @contents) . "]\n", 'as they were sent');



=== TEST 9: an empty content, or none, is refused
--- play
errors("GET /icomet-admin/$_", 400, 'content is missing or empty', cname => 'publish9')
    for 'push?cname=publish9&content=', 'push?cname=publish9', 'pub?cname=publish9&content=', 'pub?cname=publish9';
errors("POST /icomet-admin/$_", 400, 'content is missing or empty', cname => 'publish9', body => 'cname=publish9') for qw(pub push);
same(get('/icomet-admin/check?cname=publish9'), "{}\n", 'no channel is made');



=== TEST 10: a message of 900 KB, whose request body nginx buffered to a file
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { client_body_in_file_only clean; icomet_pub main; }
--- play
my $json = '{\\"rows\\":[' . join(',', map { '{\\"id\\":' . $_ . ',\\"text\\":\\"caf\\u00e9 \\\\n\\"}' } 1 .. 23000) . ']}';
same(length $json > 900_000 ? 'large' : length $json, 'large', 'size');
my %readers = map { $_ => subscribe("/icomet/$_?cname=publish10&seq=1") } qw(sub stream sse iframe);
same(post('/icomet-admin/pub', 'cname=publish10&content=' . encode($json)), qq({"type":"ok"}\n), 'pub');
my $message = qq({"type":"data","cname":"publish10","seq":1,"content":"$json"});
same($readers{sub}->rest, "$message\n", 'long poll');
same($readers{stream}->line, "$message\n", 'stream');
(my $event = $readers{sse}->event) =~ s/\Aid: [0-9a-f]{16}\.[0-9a-z]+-1\n//;
same($event, "data: $message\n\n", 'sse');
my $line;
1 until ($line = $readers{iframe}->line) =~ /^<script/ or $line eq '';
same($line, "<script>parent.icomet_cb($message);</script>\n", 'iframe');
(my $raw = $json) =~ s/\\(["\\])/$1/g;
(my $escaped = $raw) =~ s/(["\\])/\\$1/g;
same(post('/icomet-admin/push', 'cname=publish10&content=' . encode($raw)), qq({"type":"ok"}\n), 'push');
same($readers{stream}->line, qq({"type":"data","cname":"publish10","seq":2,"content":"$escaped"}\n), 'stream');



=== TEST 11: bodies that nginx buffers in memory, in one buffer, in two, in a file
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/single/        { client_body_in_single_buffer on; client_body_buffer_size 64k; icomet_pub main; }
    location ~ ^/small/         { client_body_buffer_size 1k; icomet_pub main; }
    location ~ ^/icomet-admin/  { client_body_buffer_size 16k; icomet_pub main; }
--- play
my $seq = 1;
for my $size (1, 500, 1000, 1100, 15000, 16384, 17000, 40000, 65536, 200_000) {
    for my $place (qw(single small icomet-admin)) {
        push_ok('publish11', 'x' x $size, "/$place");
        same(get("/icomet/sub?cname=publish11&seq=$seq"), '[' . data('publish11', $seq, 'x' x $size) . "]\n", "$size bytes, $place");
        $seq++;
    }
}
--- no_error_log
[error]



=== TEST 12: a body that comes in pieces, with a length and chunked
--- play
my $conn = conn();
$conn->write("POST /icomet-admin/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: 31\r\n\r\n");
$conn->write($_) for 'cname=pub', 'lish12&con', 'tent=one%', '2c';
$conn->write('x');
same($conn->head, 200, 'status');
same($conn->rest, qq({"type":"ok"}\n), 'with a length');
$conn->request('POST', '/icomet-admin/push', headers => ['Transfer-Encoding: chunked', 'Content-Type: application/x-www-form-urlencoded']);
$conn->write("$_\r\n") for '9', 'cname=pub', 'a', 'lish12&con', 'a', 'tent=two%2', '1', 'c', '0', '';
same($conn->rest, qq({"type":"ok"}\n), 'chunked');
same(get('/icomet/sub?cname=publish12&seq=1'), '[' . data('publish12', 1, 'one,x') . ',' . data('publish12', 2, 'two,') . "]\n", 'what came');



=== TEST 13: content over max_message_size
--- hub: max_message_size 1k;
--- play
push_ok('publish13', 'x' x 1024);
errors('POST /icomet-admin/push', 413, 'max_message_size', cname => 'publish13', body => 'cname=publish13&content=' . 'x' x 1025);
errors('GET /icomet-admin/pub?cname=publish13&content=' . 'x' x 1025, 413, 'max_message_size', cname => 'publish13');
errors('POST /icomet-admin/push', 413, 'max_message_size', cname => 'publish13', body => 'cname=publish13&content=' . '%22' x 513);
push_ok('publish13', '"' x 512);
same(get('/icomet-admin/info?cname=publish13'), qq({"cname": "publish13", "subscribers": 0}\n), 'the channel is unharmed');
same(get('/icomet/sub?cname=publish13&seq=1'),
    '[' . data('publish13', 1, 'x' x 1024) . ',' . data('publish13', 2, '"' x 512) . "]\n", 'what was taken');



=== TEST 14: the default max_message_size is 1m
--- http_config
    icomet_hub main { zone 64m; }
--- play
push_ok('publish14', 'x' x 1048576);
errors('POST /icomet-admin/push', 413, '1048576', cname => 'publish14', body => 'cname=publish14&content=' . 'x' x 1048577);
my $batch = get('/icomet/sub?cname=publish14&seq=1');
same($batch, '[' . data('publish14', 1, 'x' x 1048576) . "]\n", 'what was taken');



=== TEST 15: nginx's own limit of a body
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { client_max_body_size 1k; icomet_pub main; }
--- play
same(http('POST', '/icomet-admin/push', body => 'cname=publish15&content=' . 'x' x 2000)->{status}, 413, 'status');
push_ok('publish15', 'x' x 900);
same(get('/icomet/sub?cname=publish15&seq=1'), '[' . data('publish15', 1, 'x' x 900) . "]\n", 'a smaller one');
--- error_log
client intended to send too large body



=== TEST 16: a publisher that leaves in the midst of its body
--- play
for my $part ('', 'cname=publish16', 'cname=publish16&content=half') {
    my $conn = conn();
    $conn->write("POST /icomet-admin/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n$part");
    $conn->reset;
}
push_ok('publish16', 'whole');
same(get('/icomet/sub?cname=publish16&seq=1'), '[' . data('publish16', 1, 'whole') . "]\n", 'nothing of it was published');



=== TEST 17: many messages on one connection keep their order
--- hub: channel_buffer_size 300;
--- play
my $stream = subscribe('/icomet/stream?cname=publish17&seq=1');
my $conn = conn();
for my $seq (1 .. 300) {
    $conn->request('POST', '/icomet-admin/push', body => "cname=publish17&content=m$seq");
    $conn->rest eq qq({"type":"ok"}\n) or same('refused', 'ok', "message $seq");
}
my @lines = map { $stream->line } 1 .. 300;
same(join('', @lines), join('', map { data('publish17', $_, "m$_") . "\n" } 1 .. 300), 'all, in order, each once');
