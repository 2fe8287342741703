# state_file: channels and messages outlive a restart; what cannot be read is told and kept.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Process;
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} ? (skip_all => 'nginx is stopped and started here') : 'no_plan';

state_dir();
set_up();
run_tests();

__DATA__

=== TEST 1: after quit and start everything is as it was
--- hub: state_file $TEST_NGINX_STATE_DIR/1.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
push_ok('other', 'x');
get('/icomet-admin/broadcast?content=all');
get('/icomet-admin/clear?cname=other');
my $epoch = epoch_of('c');
my ($token) = get('/icomet-admin/sign?cname=signed') =~ /"token":"([0-9a-f]{32})"/;
for my $signal (qw(QUIT TERM QUIT)) {
    restart($signal);
    same(epoch_of('c'), $epoch, "$signal: the epoch is the same");
    same(
        get('/icomet/sub?cname=c&seq=1'),
        '[' . join(',', (map { data('c', $_, "m$_") } 1 .. 3), data('c', 4, 'all', 'broadcast'), data('c', 5, '', 'next_seq')) . "]\n",
        "$signal: messages"
    );
    matches(get('/icomet-admin/sign?cname=signed'), qr/"token":"$token"/, "$signal: token");
    same(get('/icomet/sub?cname=other&seq=0'), data('other', 3, '', 'next_seq') . "\n", "$signal: the seq of a channel that was cleared");
}
push_ok('c', 'm5');
my $sse = subscribe('/icomet/sse?cname=c', headers => ["Last-Event-ID: $epoch-3"]);
same($sse->event, "id: $epoch-4\ndata: " . data('c', 4, 'all', 'broadcast') . "\n\n", 'resumed');
same($sse->event, "id: $epoch-4\ndata: " . data('c', 5, '', 'next_seq') . "\n\n", 'as after each broadcast');
same($sse->event, "id: $epoch-5\ndata: " . data('c', 5, 'm5') . "\n\n", 'the seq goes on');
same((stat state_dir() . '/1.state')[2] & 0777, 0600, 'nobody else may read the file');
--- error_log eval
[qr/\[notice\] .*hub "main": 3 channels and 4 messages were written to "\S+1\.state", \d+ bytes in \d+ ms/,
qr/\[notice\] .*hub "main": 3 channels and 4 messages were read from "\S+1\.state", written \d+ s ago, in \d+ ms/]



=== TEST 2: subscribers that wait at the exit lose nothing, and a killed worker before it leaves no trace
--- hub: state_file $TEST_NGINX_STATE_DIR/2.state;
--- play
push_ok('c', 'm1');
my $killed = subscribe('/icomet/stream?cname=c&seq=2');
my @old = worker_pids();
kill 'KILL', @old;
$killed->closed;
until_true(sub { !grep { !gone($_) } @old }, 'the worker is gone');
push_ok('c', 'm2');
my $stream = subscribe('/icomet/stream?cname=c&seq=3');
my $poll = subscribe('/icomet/sub?cname=c&seq=3&noop=7');
$stream->head;
stop('QUIT');
same($stream->rest, '', 'the stream ended');
same($poll->rest, data('c', 7, '', 'noop') . "\n", 'the poll got a noop');
start();
same(subscribers('c'), 0, 'no ghosts');
push_ok('c', 'm3');
same(get('/icomet/sub?cname=c&seq=2'), '[' . join(',', map { data('c', $_, "m$_") } 2 .. 3) . "]\n", 'messages');
--- error_log eval
qr/exited on signal 9/



=== TEST 3: neither nginx -t nor a start that fails uses the file up
--- hub: state_file $TEST_NGINX_STATE_DIR/3.state;
--- play
push_ok('c', "m$_") for 1 .. 2;
my ($status, $said) = run_nginx('-t');
same($status, 0, 'nginx -t beside a running one');
stop('QUIT');
my $file = state_dir() . '/3.state';
my $before = slurp($file);
($status, $said) = run_nginx('-t');
same($status, 0, "nginx -t: $said");
same(slurp($file), $before, 'the file is as it was');
my $good = rewrite_config(sub { s/(\n\s*pid\s+)\S+;/$1\/nonexistent\/nginx.pid;/ or die "no pid in $_" });
($status, $said) = run_nginx('');
# The process in the background fails, after it has read the file.
error_log_has(qr/\[emerg\] .*nonexistent/);
same(slurp($file), $before, 'the file is as it was');
rewrite_config(sub { s/state_file/on_full maybe; state_file/ });
($status) = run_nginx('');
same($status, 1, 'a bad configuration');
rewrite_config(sub { $_ = $good });
start();
same(get('/icomet/sub?cname=c&seq=1'), '[' . join(',', map { data('c', $_, "m$_") } 1 .. 2) . "]\n", 'messages');
same(slurp($file) eq $before ? 'unmarked' : 'marked', 'marked', 'now it is used');
--- error_log eval
[qr/\[emerg\]/]



=== TEST 4: after a kill nothing old comes back, and clients are told
--- hub: state_file $TEST_NGINX_STATE_DIR/4.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
my $epoch = epoch_of('c');
restart('QUIT');
push_ok('c', 'm4');
same(epoch_of('c'), $epoch, 'the epoch is the same');
restart('KILL');
same(get('/icomet-admin/check?cname=c'), "{}\n", 'empty');
push_ok('c', 'fresh');
same(epoch_of('c') eq $epoch ? 'the same' : 'another', 'another', 'epoch');
same(http('GET', '/icomet/sub?cname=c&seq=5', headers => [qq(If-None-Match: "$epoch-4")])->{text},
    '[' . data('c', 1, '', 'lost') . ',' . data('c', 1, 'fresh') . "]\n", 'lost');
# And it is an ordinary file again.
restart('QUIT');
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'fresh') . "]\n", 'after the next exit');
--- error_log eval
[qr/\[warn\] .*hub "main" starts empty: state file "\S+4\.state" was read before and not written since; the nginx that had it was killed/]



=== TEST 5: a damaged file is told of and kept
--- hub: state_file $TEST_NGINX_STATE_DIR/5.state;
--- play
my $file = state_dir() . '/5.state';
my @damaged;
for my $n (0 .. 1) {
    push_ok('c', "m$_") for 1 .. 3;
    stop('QUIT');
    my $bytes = slurp($file);
    push @damaged, $n ? substr($bytes, 0, -7) : substr($bytes, 0, 60) . chr(1 + ord substr $bytes, 60, 1) . substr $bytes, 61;
    spew($file, $damaged[$n]);
    start();
    same(get('/icomet-admin/check?cname=c'), "{}\n", 'empty');
}
same(slurp("$file.damaged"), $damaged[0], 'the first is kept');
same(slurp("$file.damaged.1"), $damaged[1], 'the second is kept');
--- error_log eval
[qr/\[error\] .*hub "main" starts without state file "\S+5\.state": it is damaged at byte 16: the checksum is wrong; it is kept as "\S+5\.state\.damaged"/,
qr/\[error\] .*hub "main" starts without state file "\S+5\.state": it is damaged at byte 16: it breaks off; it is kept as "\S+5\.state\.damaged\.1"/]



=== TEST 6: a foreign file and a newer one
--- hub: state_file $TEST_NGINX_STATE_DIR/6.state;
--- play
my $file = state_dir() . '/6.state';
stop('QUIT');
spew($file, "#!/bin/sh\necho precious\n");
restart_with();
same(slurp("$file.damaged"), "#!/bin/sh\necho precious\n", 'kept');
stop('QUIT');
spew($file, "ICOMETST\x09\0\0\0FULL");
restart_with();
sub restart_with { start(); push_ok('c', 'x'); }
--- error_log eval
[qr/\[error\] .*6\.state": it is no state file of icomet; it is kept as/,
qr/\[error\] .*6\.state": it has format 9, and this icomet reads formats 1 to 3; it is kept as/]



=== TEST 7: smaller limits take the newest, and say what is left out
--- hub: state_file $TEST_NGINX_STATE_DIR/7.state; channel_buffer_size 5;
--- play
push_ok('c', "m$_") for 1 .. 5;
stop('QUIT');
rewrite_config(sub { s/channel_buffer_size 5;/channel_buffer_size 2;/ });
start();
same(get('/icomet/sub?cname=c&seq=4'), '[' . join(',', map { data('c', $_, "m$_") } 4 .. 5) . "]\n", 'the last two');
same(get('/icomet/sub?cname=c&seq=1'), '[' . join(',', data('c', 4, '3', 'lost'), map { data('c', $_, "m$_") } 4 .. 5) . "]\n", 'the others are lost');
--- error_log eval
[qr/\[warn\] .*hub "main": not everything in "\S+7\.state" was taken, and the rest is lost: 3 messages beyond channel_buffer_size; each channel has its newest messages/]



=== TEST 8: a reload reads nothing, and takes a state_file on
--- hub: channel_buffer_size 5;
--- play
my $file = state_dir() . '/8.state';
push_ok('c', 'm1');
rewrite_config(sub { s/channel_buffer_size 5;/channel_buffer_size 5; state_file $file;/ });
reload();
push_ok('c', 'm2');
my $used = slurp($file);
reload();
same(slurp($file), $used, 'the file is as it was');
restart('QUIT');
my $messages = '[' . join(',', map { data('c', $_, "m$_") } 1 .. 2) . "]\n";
same(get('/icomet/sub?cname=c&seq=1'), $messages, 'messages');
reload();
same(get('/icomet/sub?cname=c&seq=1'), $messages, 'after a reload');
push_ok('c', 'm3');
restart('TERM');
same(get('/icomet/sub?cname=c&seq=3'), '[' . data('c', 3, 'm3') . "]\n", 'after a restart');



=== TEST 9: a zone of another size
--- hub: zone 4m; state_file $TEST_NGINX_STATE_DIR/9.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
my $epoch = epoch_of('c');
stop('QUIT');
rewrite_config(sub { s/zone 4m;/zone 2m;/ });
start();
same(epoch_of('c'), $epoch, 'the epoch is the same');
same(get('/icomet/sub?cname=c&seq=3'), '[' . data('c', 3, 'm3') . "]\n", 'messages');



=== TEST 10: two hubs, each with its own file; one without
--- http_config
    icomet_hub main { zone 4m; state_file $TEST_NGINX_STATE_DIR/10a.state; }
    icomet_hub second { zone 4m; state_file $TEST_NGINX_STATE_DIR/10b.state; }
    icomet_hub third { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location ~ ^/second-admin/  { icomet_pub second; }
    location ~ ^/third-admin/   { icomet_pub third; }
--- play
push_ok('c', 'x');
push_ok('d', 'x', '/second-admin');
push_ok('e', 'x', '/third-admin');
restart('QUIT');
same(get('/icomet-admin/check?cname=c'), qq({"c": 1}\n), 'the first');
same(get('/second-admin/check?cname=d'), qq({"d": 1}\n), 'the second');
same(get('/second-admin/check?cname=c'), "{}\n", 'and no other');
same(get('/third-admin/check?cname=e'), "{}\n", 'the third has nothing');



=== TEST 11: a relative path begins at the prefix
--- hub: state_file logs/relative.state;
--- play
push_ok('c', 'x');
restart('QUIT');
same(get('/icomet-admin/check?cname=c'), qq({"c": 1}\n), 'there');
same(-f Test::Nginx::Util::server_root() . '/logs/relative.state' ? 1 : 0, 1, 'the file');



=== TEST 12: a file that can neither be read nor kept aside stays as it is
--- hub: state_file $TEST_NGINX_STATE_DIR/12.state;
--- play
my $file = state_dir() . '/12.state';
stop('QUIT');
spew($file, 'precious');
spew("$file.damaged" . ($_ ? ".$_" : ''), $_) for 0 .. 99;
start();
push_ok('c', 'x');
restart('QUIT');
same(slurp($file), 'precious', 'as it was');
same(slurp("$file.damaged.$_"), $_, 'and so are those from before') for 1, 99;
# Out of the way, it is as if there had been none.
unlink $file;
restart('QUIT');
push_ok('c', 'kept');
restart('QUIT');
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'kept') . "]\n", 'messages');
--- error_log eval
[qr/\[error\] .*12\.state": it is no state file of icomet; it stays as it is, because it could not be kept aside \(100 damaged files are kept already: remove some\), and nothing is written at the exit/,
qr/\[error\] .*hub "main": state file "\S+12\.state" was not written: the file that is there is not of this nginx; its channels and messages are lost/]



=== TEST 13: a file that is there already when a reload names it
--- hub: channel_buffer_size 5;
--- play
my $file = state_dir() . '/13.state';
my $good = rewrite_config(sub { s/channel_buffer_size 5;/channel_buffer_size 5; state_file $file;/ });
reload();
push_ok('c', 'old');
stop('QUIT');
my $named = rewrite_config(sub { $_ = $good });
start();
push_ok('c', 'new');
rewrite_config(sub { $_ = $named });
reload();
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'new') . "]\n", 'what the zone had stays');
restart('QUIT');
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'new') . "]\n", 'and is what the file has');
--- error_log eval
qr/\[warn\] .*hub "main": state file "\S+13\.state" is not read, because the hub has served already/



=== TEST 14: the directory is not there
--- hub: state_file /nonexistent/main.state;
--- must_die
--- error_log eval
[qr{\[emerg\] .*state_file "/nonexistent/main\.state" cannot be kept in "/nonexistent": No such file or directory.*; create the directory first in \S*nginx\.conf:\d+}]



=== TEST 15: a directory
--- hub: state_file /tmp/;
--- must_die
--- error_log eval
[qr{\[emerg\] .*state_file "/tmp/?" names a directory: give a file in it a name in \S*nginx\.conf:\d+}]



=== TEST 16: something that is no file
--- hub: state_file /dev/null;
--- must_die
--- error_log eval
[qr{\[emerg\] .*state_file "/dev/null" is there and is no regular file: choose another name in \S*nginx\.conf:\d+}]



=== TEST 17: twice
--- hub: state_file /tmp/a.state; state_file /tmp/b.state;
--- must_die
--- error_log eval
[qr{\[emerg\] .*"state_file" is duplicate in \S*nginx\.conf:\d+}]



=== TEST 18: one file for two hubs, by two names
--- http_config
    icomet_hub one { state_file $TEST_NGINX_STATE_DIR/18.state; }
    icomet_hub two { state_file $TEST_NGINX_STATE_DIR/.//18.state; }
--- config
    location /icomet/ { icomet_sub one; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*state_file "\S+18\.state" of hub "two" is that of hub "one" in \S*nginx\.conf:\d+ already: each hub needs a file of its own in \S*nginx\.conf:\d+}]



=== TEST 19: no value
--- hub: state_file;
--- must_die
--- error_log eval
[qr{\[emerg\] .*"state_file" takes one value, 0 are given in \S*nginx\.conf:\d+}]



=== TEST 20: the options of messages outlive a restart
--- hub: state_file $TEST_NGINX_STATE_DIR/20.state;
--- play
my $epoch = epoch_of('c');
push_ok('c', 'm1');
api('publish', '{"channel":"c","content":"short","ttl":1,"event":"e"}', 200, qr/"seq":2/);
api('publish', '{"channel":"c","content":"long","ttl":600,"event":"e","exclude":"alice"}', 200, qr/"seq":3/);
restart('QUIT');
same(epoch_of('c'), $epoch, 'the epoch is the same');
my $long = data('c', 3, 'long') =~ s/\}\z/,"event":"e"}/r;
until_true(sub { get('/icomet/sub?cname=c&seq=1') eq '[' . data('c', 1, 'm1') . ",$long]\n" }, 'the short one ends, as if nothing had been');
restart('TERM');
same(get('/icomet/sub?cname=c&seq=2'), "[$long]\n", 'its place is remembered: nothing is lost');
