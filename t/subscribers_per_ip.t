# max_subscribers_per_ip: who is counted for an address, who is refused, and how each goes off the count again.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @TRANSPORTS = qw(sub stream sse iframe);
our $REFUSED = 'Too many subscribers from this address';

# Whether a subscriber from there is let in; it asks for a message that is there, so that it is answered at once.
sub let_in {
    my ($from, $cname) = @_;
    my $conn = conn(undef, from => $from)->request('GET', "/icomet/sub?cname=$cname&seq=1", close => 1);
    my $text = $conn->rest;
    return $text =~ /\Q$REFUSED\E/ ? 'no' : $text eq '[' . data($cname, 1, 'there') . "]\n" ? 'yes' : $text;
}

# Waits until one is: a dead worker's share is taken off when somebody notices.
sub await_let_in {
    my ($from, $cname, $what) = @_;
    return until_true(sub { let_in($from, $cname) eq 'yes' }, $what);
}

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: one more than allowed is refused on each transport, on whatever channel; other addresses are not
--- hub: max_subscribers_per_ip 4;
--- play
my @open = map { subscribe("/icomet/$_?cname=ip1-$_&seq=1") } @TRANSPORTS;
my $message = qq({"type":"429","cname":"ip1-other","seq":0,"content":"$REFUSED"});
my $uri = 'cname=ip1-other&seq=1';
answers("GET /icomet/$_?$uri", 200, "$message\n", expect => { 'Content-Type' => 'application/json; charset=utf-8' }) for qw(sub poll stream);
answers("GET /icomet/sub?$uri&cb=f", 200, "/**/f($message);\n", expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
answers("GET /icomet/sse?$uri", 200, "data: $message\n\n", expect => { 'Content-Type' => 'text/event-stream; charset=utf-8' });
answers("GET /icomet/iframe?$uri", 200, qr/\n\Q<script>parent.icomet_cb($message);<\/script>\E\n\z/, expect => { 'Content-Type' => 'text/html; charset=utf-8' });
same(get('/icomet-admin/check?cname=ip1-other'), "{}\n", 'the channel was not made');
same(get('/icomet/sub?cname=ip1-none&seq=1&wait=0'), "[]\n", 'who does not wait is not counted');
my @elsewhere = map { subscribe("/icomet/$_?$uri", from => 2) } @TRANSPORTS;
push_ok("ip1-$_", 'x') for 'other', @TRANSPORTS;
same(message($open[$_]), data("ip1-$TRANSPORTS[$_]", 1, 'x'), "$TRANSPORTS[$_]: unharmed") for 0 .. 3;
same(message($_), data('ip1-other', 1, 'x'), 'elsewhere') for @elsewhere;
--- error_log
client 127.0.0.1 has 4 subscribers of hub "main" already: more are refused (max_subscribers_per_ip)
--- no_error_log
[error]
[alert]
[crit]



=== TEST 2: whoever leaves is taken off, however it leaves
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_ip 4; max_subscribers_per_channel 2; }
    send_timeout 1s;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        location ~ ^/icomet/ { icomet_sub main; }
    }
--- play
push_ok('ip2', 'there');
my $fill = sub { map { subscribe("/icomet/$_?cname=ip2-$_&seq=1", port => port(1), narrow => 16384, @_) } @TRANSPORTS };
my $full = sub { same(let_in(1, 'ip2'), 'no', "$_[0]: full") };

my @open = $fill->();
$full->('clients leave');
$_->leave for @open;
await_subscribers("ip2-$_", 0) for @TRANSPORTS;
same(let_in(1, 'ip2'), 'yes', 'clients leave: let in');

@open = $fill->();
$full->('clients reset');
$_->reset for @open;
await_subscribers("ip2-$_", 0) for @TRANSPORTS;
same(let_in(1, 'ip2'), 'yes', 'clients reset: let in');

@open = $fill->();
$full->('a poll is answered');
push_ok('ip2-sub', 'x');
same($open[0]->rest, data('ip2-sub', 1, 'x') . "\n", 'a poll is answered');
same(let_in(1, 'ip2'), 'yes', 'a poll is answered: let in');
my $again = subscribe('/icomet/sub?cname=ip2-sub&seq=2');
$full->('the next poll');

get("/icomet-admin/close?cname=ip2-$_") for @TRANSPORTS;
$_->rest for $again, @open[1 .. 3];
same(let_in(1, 'ip2'), 'yes', 'channels are closed: let in');

@open = $fill->();
for my $transport (@TRANSPORTS[1 .. 3]) {
    push_ok("ip2-$transport", 'x' x 60_000) for 1 .. 20;
}
await_subscribers("ip2-$_", 0) for @TRANSPORTS[1 .. 3];
same(let_in(1, 'ip2'), 'yes', 'three take nothing for send_timeout: let in');
same(message(subscribe('/icomet/sub?cname=ip2-sub&seq=1&wait=1')), data('ip2-sub', 0, '', 'noop'), 'a noop ends a poll');
$_->leave for @open;
await_subscribers("ip2-$_", 0) for @TRANSPORTS;

# Refused for another reason, it has no place of its own.
my @two = map { subscribe('/icomet/stream?cname=ip2-two&seq=1') } 1 .. 2;
matches(get('/icomet/stream?cname=ip2-two&seq=1'), qr/Too many subscribers"/, 'too many on the channel') for 1 .. 9;
my @more = map { subscribe('/icomet/stream?cname=ip2-more&seq=1') } 1 .. 2;
$full->('two and two');
--- no_error_log
[error]
[alert]
[crit]



=== TEST 3: without the limit, and with 0, nobody is refused
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 100; }
    icomet_hub zero { zone 16m; max_subscribers_per_channel 100; max_subscribers_per_ip 0; }
--- config
    location ~ ^/icomet/       { icomet_sub main; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
    location ~ ^/zero/         { icomet_sub zero; }
    location ~ ^/zero-admin/   { icomet_pub zero; }
--- play
my @main = map { subscribe('/icomet/stream?cname=ip3&seq=1') } 1 .. 40;
my @zero = map { subscribe('/zero/stream?cname=ip3&seq=1', admin => '/zero-admin') } 1 .. 40;
push_ok('ip3', 'x');
same($_->line, data('ip3', 1, 'x') . "\n", 'heard') for @main;



=== TEST 4: hubs count by themselves
--- http_config
    icomet_hub main  { zone 16m; max_subscribers_per_ip 1; }
    icomet_hub other { zone 16m; max_subscribers_per_ip 1; }
--- config
    location ~ ^/icomet/       { icomet_sub main; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
    location ~ ^/other/        { icomet_sub other; }
    location ~ ^/other-admin/  { icomet_pub other; }
--- play
my $main = subscribe('/icomet/stream?cname=ip4&seq=1');
my $other = subscribe('/other/stream?cname=ip4&seq=1', admin => '/other-admin');
matches(get("/$_/stream?cname=ip4&seq=1"), qr/\Q$REFUSED\E/, $_) for qw(icomet other);



=== TEST 5: the address is what realip says; of IPv6 the /64 network counts
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_ip 1; }
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Real-IP;
--- play
my $from = sub { (headers => ["X-Real-IP: $_[0]"]) };
my $refused = sub { matches(get('/icomet/stream?cname=ip5&seq=1', $from->($_[0])), qr/\Q$REFUSED\E/, "refused: $_[0]") };
my %open = map { $_ => subscribe('/icomet/stream?cname=ip5&seq=1', $from->($_)) } qw(192.0.2.1 192.0.2.2 2001:db8:1:2::1 2001:db8:1:3::1);
$refused->($_) for qw(192.0.2.1 192.0.2.2 ::ffff:192.0.2.2 2001:db8:1:2::1 2001:db8:1:2:ffff::1 2001:db8:1:3::9);
error_log_has(qr/client 192\.0\.2\.1 has 1 subscribers of hub "main" already/);
my $own = subscribe('/icomet/stream?cname=ip5&seq=1');
$open{'2001:db8:1:2::1'}->leave;
await_subscribers('ip5', 4);
my $neighbour = subscribe('/icomet/stream?cname=ip5&seq=1', $from->('2001:db8:1:2:ffff::1'));
push_ok('ip5', 'x');
same($_->line, data('ip5', 1, 'x') . "\n", 'heard') for $neighbour, $own, @open{qw(192.0.2.1 192.0.2.2 2001:db8:1:3::1)};
--- no_error_log
[error]
[alert]
[crit]



=== TEST 6: a killed worker's share is taken off
--- hub: max_subscribers_per_ip 8;
--- play
push_ok('ip6', 'there');
# On several workers, where there are.
my @open = map { subscribe("/icomet/$_?cname=ip6-$_&seq=1") } @TRANSPORTS, @TRANSPORTS;
same(let_in(1, 'ip6'), 'no', 'full');
my @workers = worker_pids();
kill 'KILL', @workers;
$_->closed for @open;
until_true(sub { my %now = map { $_ => 1 } worker_pids(); keys %now == @workers && !grep { $now{$_} } @workers }, 'new workers');
await_subscribers("ip6-$_", 0) for @TRANSPORTS;
await_let_in(1, 'ip6', 'let in again');
@open = map { subscribe("/icomet/$_?cname=ip6-$_&seq=1") } @TRANSPORTS, @TRANSPORTS;
same(let_in(1, 'ip6'), 'no', 'and not more than before');
--- no_error_log
[error]
[crit]
--- grep_error_log: exited on signal 9
--- grep_error_log_out eval
qr/exited on signal 9/



=== TEST 7: over a reload: who moves is counted by its new worker, whoever ends is taken off; a new limit applies
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_ip 3; }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/held/          { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
push_ok('ip7', 'there');
my @open = map { subscribe('/icomet/stream?cname=ip7a&seq=1') } 1 .. 2;
my $held = subscribe('/held/stream?cname=ip7b&seq=1');
same(let_in(1, 'ip7'), 'no', 'full');
my $before = rewrite_config(sub { s/max_subscribers_per_ip 3/max_subscribers_per_ip 2/ });
reload();
$held->rest;
await_subscribers('ip7b', 0);
same(let_in(1, 'ip7'), 'no', 'full with those who moved');
carries_on($_, 'ip7a', 1, 'moved', 'm1') for $open[0];
$open[1]->leave;
await_subscribers('ip7a', 1);
await_let_in(1, 'ip7', 'one left: let in again');
rewrite_config(sub { $_ = $before });



=== TEST 8: over TLS, and held
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_ip 2; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/ { icomet_sub main; }
        location ~ ^/held/   { icomet_park off; icomet_sub main; }
    }
--- play
push_ok('ip8', 'there');
for my $side (qw(icomet held)) {
    my @open = map { subscribe("/$side/$_?cname=ip8-$side&seq=1", port => port(2), tls => 1) } qw(sse sub);
    same(let_in(1, 'ip8'), 'no', "$side: full");
    push_ok("ip8-$side", 'x');
    same(message($_), data("ip8-$side", 1, 'x'), "$side: heard") for @open;
    same(let_in(1, 'ip8'), 'yes', "$side: the poll was answered");
    $open[0]->leave;
    $open[1]->leave;
    await_subscribers("ip8-$side", 0);
}
