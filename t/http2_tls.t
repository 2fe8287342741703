# HTTP/2 and TLS, by curl: long polls, streams and publishes.

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our %pid;    # of curl, by the handle on its output
our ($h2, $tls) = qw(TEST_NGINX_RAND_PORT_1 TEST_NGINX_RAND_PORT_2);

# Starts curl; returns a handle on its output. Options come before the URL's path.
sub curl {
    my ($where, $path, @options) = @_;
    my $port = $Test::Nginx::Util::RandPorts->{ $where eq 'h2' ? $h2 : $tls };
    my @how = $where eq 'h2' ? '--http2-prior-knowledge' : $where eq 'tls1' ? ('--http1.1', '-k') : ('--http2', '-k');
    my $scheme = $where eq 'h2' ? 'http' : 'https';
    my $pid = open my $out, '-|', 'curl', '-sSN', '--max-time', $IcometTest::Conn::DEADLINE, @how, @options, "$scheme://127.0.0.1:$port$path"
        or die "cannot start curl: $!";
    $pid{$out} = $pid;
    return $out;
}

sub all { my ($out) = @_; local $/; my $text = <$out>; close $out; return $text // '' }

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: long polls and publishes, on HTTP/2 with and without TLS, and HTTP/1.1 over TLS
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        http2 on;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        http2 on;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
--- play
my %version = (h2 => 2, tls => 2, tls1 => '1.1');
for my $where (qw(h2 tls tls1)) {
    my $cname = "http2-1-$where";
    my $poll = curl($where, "/icomet/sub?cname=$cname&seq=1", '-w', '%{http_version} %{http_code} %{content_type}');
    await_subscribers($cname, 1);
    same(all(curl($where, '/icomet-admin/push', '-d', "cname=$cname&content=hi")), qq({"type":"ok"}\n), "$where: push");
    same(all($poll), data($cname, 1, 'hi') . "\n$version{$where} 200 application/json; charset=utf-8", "$where: live");
    same(all(curl($where, "/icomet/sub?cname=$cname&seq=1&cb=f")), '/**/f([' . data($cname, 1, 'hi') . "]);\n", "$where: replay");
    same(all(curl($where, "/icomet/sub?cname=$cname&seq=2&wait=0")), "[]\n", "$where: wait=0");
    same(all(curl($where, "/icomet/sub?cname=$cname&seq=2&wait=1&noop=3")), data($cname, 3, '', 'noop') . "\n", "$where: noop");
    same(all(curl($where, '/icomet/ping?cb=f')), qq(/**/f({"type":"ping","sub_timeout":30});\n), "$where: ping");
    matches(all(curl($where, '/icomet/sub', '-w', '%{http_code}')), qr/"type":"400".*\n400\z/s, "$where: 400");
    same(all(curl($where, "/icomet/sub?cname=$cname", '-I', '-o', '/dev/null', '-w', '%{http_code} %{size_download}')), '200 0', "$where: HEAD");
    same(all(curl($where, "/icomet/sub?cname=$cname", '-X', 'OPTIONS', '-w', '%{http_code}')), '204', "$where: OPTIONS");
    same(all(curl($where, "/icomet-admin/close?cname=$cname")), "ok 2\n", "$where: close");
    await_subscribers($cname, 0);
}



=== TEST 2: streams: each message comes at once; close ends them; who leaves is taken off
--- http_config
    icomet_hub main { zone 16m; polling_timeout 1s; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        http2 on;
        location ~ ^/icomet/        { icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        http2 on;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
for my $where (qw(h2 tls tls1)) {
    my $cname = "http2-2-$where";
    push_ok($cname, 'before');
    my %open = map { $_ => curl($where, "/icomet/$_?cname=$cname&seq=1") } qw(stream sse iframe);
    await_subscribers($cname, 3);
    my $json = sub { my ($out) = @_; my $line; 1 while defined($line = <$out>) && $line !~ /\{"type":"(?!noop)/; $line };
    for my $seq (1 .. 5) {
        my $message = data($cname, $seq, $seq == 1 ? 'before' : "m$seq");
        push_ok($cname, "m$seq") if $seq > 1;
        same($json->($open{stream}), "$message\n", "$where: stream $seq");
        same($json->($open{sse}), "data: $message\n", "$where: sse $seq");
        same($json->($open{iframe}), "<script>parent.icomet_cb($message);</script>\n", "$where: iframe $seq");
    }
    my $line;
    1 until ($line = readline $open{stream}) =~ /noop/;
    matches($line, qr/\A\{"type":"noop","cname":"\Q$cname\E","seq":\d+,"content":""\}\n\z/, "$where: noop");
    my $leaves = curl($where, "/icomet/stream?cname=$cname&seq=1");
    await_subscribers($cname, 4);
    readline $leaves;
    kill 'KILL', $pid{$leaves};
    await_subscribers($cname, 3);
    push_ok($cname, 'last');
    get("/icomet-admin/close?cname=$cname");
    matches(all($open{stream}), qr/\n\Q${\data($cname, 7, '', 'close')}\E\n\z/, "$where: stream: close, then the end");
    matches(all($open{sse}), qr/\ndata: \Q${\data($cname, 7, '', 'close')}\E\n\n\z/, "$where: sse: close, then the end");
    matches(all($open{iframe}), qr/\Q(${\data($cname, 7, '', 'close')});<\/script>\E\n\z/, "$where: iframe: close, then the end");
    same(subscribers($cname), 0, "$where: nobody is left");
}
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }



=== TEST 3: large messages, in both directions
--- http_config
    icomet_hub main { zone 16m; }
    client_max_body_size 10m;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        http2 on;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        http2 on;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
--- play
my $file = "$ENV{TEST_NGINX_CERT_DIR}/body";
for my $where (qw(h2 tls tls1)) {
    my $cname = "http2-3-$where";
    my $content = join '', map { chr(97 + $_ % 26) } 1 .. 900_000;
    open my $out, '>', $file or die;
    print $out "cname=$cname&content=$content";
    close $out;
    my $stream = curl($where, "/icomet/stream?cname=$cname&seq=1");
    my $poll = curl($where, "/icomet/sub?cname=$cname&seq=1");
    await_subscribers($cname, 2);
    same(all(curl($where, '/icomet-admin/push', '--data-binary', "\@$file")), qq({"type":"ok"}\n), "$where: push");
    my $message = data($cname, 1, $content);
    same(all($poll), "$message\n", "$where: long poll");
    same(scalar readline $stream, "$message\n", "$where: stream");
    push_ok($cname, 'small');
    same(scalar readline $stream, data($cname, 2, 'small') . "\n", "$where: and the next one");
    get("/icomet-admin/close?cname=$cname");
    same(all($stream), data($cname, 3, '', 'close') . "\n", "$where: end");
}
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }



=== TEST 4: many polls at once on one HTTP/2 connection, each answered by itself
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        http2 on;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        add_header X-Connection $connection;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_2};
my $dir = $ENV{TEST_NGINX_CERT_DIR};
my @urls = map { ('-o', "$dir/out$_", "https://127.0.0.1:$port/icomet/sub?cname=http2-4-$_&seq=1") } 1 .. 20;
# curl's own progress meter goes to standard error even with -s.
open my $curl, '-|', "curl -sSkZ --parallel-max 20 --http2 --max-time $IcometTest::Conn::DEADLINE -w '%header{x-connection}\\n' "
    . join(' ', map { "'$_'" } @urls) . " 2>$dir/curl.log" or die;
await_subscribers("http2-4-$_", 1) for 1 .. 20;
push_ok("http2-4-$_", "m$_") for reverse 1 .. 20;
my %connections = map { $_ => 1 } split /\n/, all($curl);
same(scalar keys %connections, 1, 'connections');
same(IcometTest::_slurp("$dir/out$_"), data("http2-4-$_", 1, "m$_") . "\n", "poll $_") for 1 .. 20;



=== TEST 5: who asks for many channels in many streams takes turns with others; each is answered
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        http2 on;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        http2 on;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
--- play
my $dir = tempdir(CLEANUP => 1);
# Without TLS curl 7.88 does not take several transfers at once.
for my $where (qw(tls)) {
    my $path = sub { my ($answer) = @_; return '/icomet/sub?wait=0&cname=' . join ',', map { "http2-5-$where-$answer-$_" } 1 .. 60 };
    my $base = ($where eq 'h2' ? 'http' : 'https') . '://127.0.0.1:' . $Test::Nginx::Util::RandPorts->{ $where eq 'h2' ? $h2 : $tls };
    my @others = map { ('-o', "$dir/$_", $base . $path->($_)) } 2 .. 40;
    all(curl($where, $path->(1), '-Z', @others, '-o', "$dir/1"));
    my $right = grep {
        open my $file, '<', "$dir/$_" or die "$dir/$_: $!";
        <$file> =~ /\A\[\{"type":"next_seq","cname":"http2-5-$where-$_-1",.*"cname":"http2-5-$where-$_-60","seq":1,"content":""\}\]\n\z/;
    } 1 .. 40;
    same($right, 40, $where);
}
