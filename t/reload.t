# A reload: channels go on, held subscribers are ended politely; a killed worker leaves no trace. Parked ones move: handover.t.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: held subscribers are ended politely, and lose nothing when they come back
--- config
    location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
push_ok('reload1', "m$_") for 1 .. 2;
my $epoch = epoch_of('reload1');
my ($token) = get('/icomet-admin/sign?cname=reload1') =~ /"token":"([0-9a-f]{32})"/;
my $poll = subscribe('/icomet/sub?cname=reload1&seq=3&noop=8');
my %open = map { $_ => subscribe("/icomet/$_?cname=reload1&seq=3") } qw(stream sse iframe);
$_->head for values %open;
my @old = worker_pids();
kill 'HUP', master_pid();
same($poll->rest, data('reload1', 8, '', 'noop') . "\n", 'long poll: noop with its own counter');
matches($open{sse}->rest, qr/\Aretry: (?:[5-9]\d\d|[12]\d\d\d|3000)\n\z/, 'sse: retry, then the end');
same($open{stream}->rest, '', 'stream: the end');
same($open{iframe}->rest =~ /<script/ ? 'a script' : 'the end', 'the end', 'iframe: the end');
same($_->end, 'complete', 'as HTTP says') for $poll, values %open;
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
same(subscribers('reload1'), 0, 'subscribers');
same(epoch_of('reload1'), $epoch, 'the epoch is the same');
same(get('/icomet/sub?cname=reload1&seq=1'), '[' . join(',', map { data('reload1', $_, "m$_") } 1 .. 2) . "]\n", 'messages');
matches(get('/icomet-admin/sign?cname=reload1'), qr/"token":"$token"/, 'token');
push_ok('reload1', 'm3');
my $sse = subscribe('/icomet/sse?cname=reload1', headers => ["Last-Event-ID: $epoch-2"]);
same($sse->event, "id: $epoch-3\ndata: " . data('reload1', 3, 'm3') . "\n\n", 'the seq goes on');



=== TEST 2: a publish after the reload reaches who subscribed before it, or it comes back and finds it
--- config
    location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $stream = subscribe('/icomet/stream?cname=reload2&seq=1');
$stream->head;
kill 'HUP', master_pid();
push_ok('reload2', "m$_") for 1 .. 5;
my $got = $stream->rest;
my $next = 1 + ($got =~ tr/\n//);
same($got, join('', map { data('reload2', $_, "m$_") . "\n" } 1 .. $next - 1), 'what came before the end');
my $again = subscribe("/icomet/stream?cname=reload2&seq=$next");
same($again->line, data('reload2', $_, "m$_") . "\n", "message $_") for $next .. 5;



=== TEST 3: a changed limit applies to channels that exist
--- hub: channel_buffer_size 5;
--- play
push_ok('reload3', "m$_") for 1 .. 5;
rewrite_config(sub { s/channel_buffer_size 5;/channel_buffer_size 2;/ });
reload();
push_ok('reload3', 'm6');
same(get('/icomet/sub?cname=reload3&seq=5'), '[' . join(',', map { data('reload3', $_, "m$_") } 5 .. 6) . "]\n", 'the last two');
matches(get('/icomet/sub?cname=reload3&seq=1'), qr/\A\[\{"type":"lost","cname":"reload3","seq":5,"content":"4"\}/, 'the others are lost');



=== TEST 4: a zone of another size starts empty, and that is said; who comes back is told
--- http_config
    icomet_hub reload4 { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub reload4; }
    location ~ ^/icomet-admin/  { icomet_pub reload4; }
--- play
push_ok('c', "m$_") for 1 .. 3;
my $epoch = epoch_of('c');
rewrite_config(sub { s/zone 4m;/zone 5m;/ });
reload();
same(get('/icomet-admin/check?cname=c'), "{}\n", 'empty');
push_ok('c', 'fresh');
same(epoch_of('c') ne $epoch ? 'another' : 'the same', 'another', 'epoch');
same(http('GET', '/icomet/sub?cname=c&seq=4', headers => [qq(If-None-Match: "$epoch-3")])->{text},
    '[' . data('c', 1, '', 'lost') . ',' . data('c', 1, 'fresh') . "]\n", 'lost');
--- error_log eval
qr/\[warn\] .*zone of hub "reload4" changed from 4194304 to 5242880 bytes/



=== TEST 5: a bad configuration changes nothing
--- http_config
    icomet_hub reload5 { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub reload5; }
    location ~ ^/icomet-admin/  { icomet_pub reload5; }
--- play
push_ok('c', 'x');
my $stream = subscribe('/icomet/stream?cname=c&seq=1');
same($stream->line, data('c', 1, 'x') . "\n", 'before');
my $good = rewrite_config(sub { s/zone 4m;/zone 4m; max_channels none;/ });
kill 'HUP', master_pid();
error_log_has(qr/\[emerg\] .*max_channels "none"/);
push_ok('c', 'y');
same($stream->line, data('c', 2, 'y') . "\n", 'after');
rewrite_config(sub { $_ = $good });
--- error_log
[emerg]
invalid max_channels "none"



=== TEST 6: a killed worker leaves no ghost and no lock; its clients resume
--- http_config
    icomet_hub reload6 { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub reload6; }
    location ~ ^/icomet-admin/  { icomet_pub reload6; }
--- play
push_ok('c', 'm1');
my @open = map { subscribe("/icomet/$_?cname=c&seq=2") } qw(stream sse sub);
kill 'KILL', worker_pids();
$_->closed for @open;
await_subscribers('c', 0);
push_ok('c', 'm2');
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'm1') . ',' . data('c', 2, 'm2') . "]\n", 'nothing is lost');
--- error_log eval
qr/\[alert\] .*worker process \d+ exited on signal 9/
