# info with detail=1, and how long SSE clients are told to wait.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use JSON::PP qw(decode_json);
use Test::Nginx::Socket 'no_plan';

our $FIELDS = 'channels epoch evictions hub lost messages refused repairs subscribers version workers zone';

sub detail {
    my ($admin) = @_;
    $admin //= '/icomet-admin';
    my $answer = answers("GET $admin/info?detail=1", 200, qr/\A\{[^\n]*\}\n\z/, expect => { 'Content-Type' => 'application/json; charset=utf-8' });
    return decode_json($answer->{text});
}

set_up();
run_tests();

__DATA__

=== TEST 1: what a hub holds
--- hub: zone 4m;
--- play
my $detail = detail();
same(join(' ', sort keys %$detail), $FIELDS, 'fields');
same("@$detail{qw(hub channels subscribers messages evictions repairs)}", 'main 0 0 0 0 0', 'an empty hub');
same($detail->{epoch}, zone_epoch('detail1'), 'the epoch is the one of resume ids');
my $zone = $detail->{zone};
same($zone->{used} + $zone->{free}, $zone->{size}, 'used and free are the size');
matches($zone->{size} >= 4 << 20 ? 'enough' : $zone->{size}, qr/enough/, 'the size is that of the directive, or some more');
same(join(' ', map { "$_->{pid}" } sort { $a->{pid} <=> $b->{pid} } @{ $detail->{workers} }), join(' ', sort { $a <=> $b } worker_pids()), 'the workers');
push_ok("detail1-$_", 'x' x 100_000) for 1 .. 5;
push_ok('detail1-1', 'y');
my @open = map { subscribe("/icomet/$_?cname=detail1-1&seq=0") } qw(stream sse iframe);
my $after = detail();
same("@$after{qw(channels subscribers messages)}", '6 3 6', 'channels, subscribers and messages');
my ($counted) = (0);
$counted += $_->{subscribers} for @{ $after->{workers} };
same($counted, 3, "the workers' subscribers");
my $used = $after->{zone}{used} - $zone->{used};
matches($used > 500_000 && $used < 800_000 ? 'about' : $used, qr/about/, 'what five large messages take');
get("/icomet-admin/clear?cname=detail1-$_") for 1 .. 5;
same(detail()->{messages}, 0, 'messages that were cleared');
$_->leave for @open;
await_subscribers('detail1-1', 0);
same(join(' ', map { $_->{subscribers} } grep { $_->{subscribers} } @{ detail()->{workers} }), '', 'who left is taken off');
matches(get('/icomet-admin/info'), qr/\A\{"version": "[^"]+", "channels": 6, "subscribers": 0\}\n\z/, 'without detail it is as it was');
same(get('/icomet-admin/info?detail=0'), get('/icomet-admin/info'), 'detail=0');
same(get('/icomet-admin/info?cname=detail1-1&detail=1'), qq({"cname": "detail1-1", "subscribers": 0}\n), 'of a channel there is no more to tell');
errors("GET /icomet-admin/info?detail=$_", 400, 'detail is not a number from 0 to 1') for qw(2 x -1);
same(decode_json(post('/icomet-admin/info', 'detail=1'))->{hub}, 'main', 'POST');



=== TEST 2: what was refused, and what was lost
--- http_config
    icomet_hub main { zone 1m; channel_buffer_size 4; max_channels 3; max_subscribers_per_channel 2; max_message_size 300k; }
--- play
push_ok('detail2', $_) for 1 .. 10;
matches(get('/icomet/sub?cname=detail2&seq=1'), qr/"lost".*"content":"6"/, 'six are lost');
matches(get('/icomet/sub?cname=detail2&seq=5'), qr/"lost".*"content":"2"/, 'two are lost');
matches(get('/icomet/sub?cname=detail2&seq=5&epoch=0000000000000001'), qr/"lost".*"content":""/, 'an unknown number is lost');
push_ok('detail2-more', $_) for 1 .. 2;
push_ok('detail2-full', 'x');
errors('GET /icomet-admin/push?cname=detail2-toomany&content=x', 429, 'Too many channels', cname => 'detail2-toomany');
my @open = map { subscribe('/icomet/stream?cname=detail2&seq=0') } 1 .. 2;
matches(get('/icomet/stream?cname=detail2&seq=0'), qr/Too many subscribers/, 'too many') for 1 .. 2;
matches(get('/icomet/stream?cname=detail2-toomany&seq=0'), qr/Too many channels/, 'too many channels');
my $full = 0;
for (1 .. 4) { $full++ if http('POST', '/icomet-admin/push', body => 'cname=detail2-full&content=' . 'x' x 300_000)->{status} == 507 }
matches($full, qr/\A[1-4]\z/, 'the zone is full');
my $detail = detail();
same("$detail->{lost}{notices} $detail->{lost}{messages}", '3 8', 'lost');
same("$detail->{refused}{publishes} $detail->{refused}{subscribers}", 1 + $full . ' 3', 'refused');
same($detail->{evictions}, 0, 'nothing was evicted');
--- error_log
is full
--- no_error_log
[alert]
[crit]



=== TEST 3: evictions, in a zone of no other block's size, which a reload would keep
--- hub: zone 2m; channel_buffer_size 1000; on_full evict;
--- play
push_ok('detail3', 'x' x 10_000) for 1 .. 400;
my $detail = detail();
matches($detail->{evictions}, qr/\A[1-9]\d+\z/, 'evictions');
same($detail->{evictions} + $detail->{messages}, 400, 'and what is left');
same($detail->{refused}{publishes}, 0, 'nothing was refused');



=== TEST 4: after a kill the numbers are right
--- play
my @open = map { subscribe("/icomet/$_?cname=detail4&seq=1") } qw(stream sse iframe sub);
my @workers = worker_pids();
kill 'KILL', @workers;
$_->closed for @open;
until_true(sub { my %now = map { $_ => 1 } worker_pids(); keys %now == @workers && !grep { $now{$_} } @workers }, 'new workers');
await_subscribers('detail4', 0);
until_true(sub { join(' ', sort map { $_->{pid} } @{ decode_json(get('/icomet-admin/info?detail=1'))->{workers} }) eq join ' ', sort(worker_pids()) }, 'the dead are taken off');
@open = map { subscribe("/icomet/$_?cname=detail4&seq=1") } qw(stream sse);
my $detail = detail();
my $counted = 0;
$counted += $_->{subscribers} for @{ $detail->{workers} };
same("$detail->{subscribers} $counted", '2 2', 'who came since');
--- no_error_log
[error]
[crit]
--- grep_error_log: exited on signal 9
--- grep_error_log_out eval
qr/exited on signal 9/



=== TEST 5: an SSE answer begins with the time to wait before coming back, each with its own
--- hub: max_subscribers_per_channel 20;
--- play
push_ok('retry5', 'x');
my %seen;
for (1 .. 20) {
    my $sse = subscribe('/icomet/sse?cname=retry5&seq=1');
    matches($sse->event, qr/\Aid: [0-9a-f]{16}\.[0-9a-z]+-1\ndata: /, 'then the messages');
    $seen{ $sse->{retry} // 'none' }++;
}
same(scalar(grep { /\D/ || $_ < 1000 || $_ > 3000 } keys %seen), 0, 'from 1000 to 3000 ms: ' . join ' ', sort keys %seen);
matches(scalar(keys %seen), qr/\A(?:1[0-9]|20)\z/, 'hardly two alike');
my $refused = http('GET', '/icomet/sse?cname=retry5&seq=1');
matches($refused->{text}, qr/\Adata: \{"type":"429"/, 'one too many');
matches($refused->{retry}, qr/\A[123]\d\d\d\z/, 'who is refused waits as well');
