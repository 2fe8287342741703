# state_file beside a binary upgrade (USR2).

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Process;
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} || $ENV{TEST_NGINX_USE_VALGRIND} ? (skip_all => 'nginx is upgraded here') : 'no_plan';

state_dir();
set_up();
run_tests();

__DATA__

=== TEST 1: the new binary begins empty, and the file is its own afterwards
--- hub: state_file $TEST_NGINX_STATE_DIR/1.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
restart('QUIT');
my $epoch = epoch_of('c');
my ($old, @workers) = (master_pid(), worker_pids());
my $file = state_dir() . '/1.state';
kill 'USR2', $old;
until_true(sub { -s $Test::Nginx::Util::PidFile && master_pid() != $old && worker_pids() }, 'the new binary has workers');
my $new = master_pid();
kill 'QUIT', $old;
until_true(sub { gone($old) }, 'the old master has exited');
same(get('/icomet-admin/check?cname=c'), "{}\n", 'the new one is empty');
push_ok('c', 'fresh');
same(epoch_of('c') eq $epoch ? 'the same' : 'another', 'another', 'epoch');
same(http('GET', '/icomet/sub?cname=c&seq=4', headers => [qq(If-None-Match: "$epoch-3")])->{text},
    '[' . data('c', 1, '', 'lost') . ',' . data('c', 1, 'fresh') . "]\n", 'clients are told');
$epoch = epoch_of('c');
restart('QUIT');
same(epoch_of('c'), $epoch, 'what the new one had goes on');
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'fresh') . "]\n", 'messages');
--- error_log eval
[qr/\[error\] .*hub "main" starts empty without its state file "\S+1\.state": the old binary still serves its channels, which end with it; restart nginx instead of upgrading it to keep them/,
qr/\[warn\] .*hub "main": state file "\S+1\.state" is left to the new binary, which serves already; 1 channels and 3 messages end here/]



=== TEST 2: an upgrade that is taken back
--- hub: state_file $TEST_NGINX_STATE_DIR/2.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
my $epoch = epoch_of('c');
my $old = master_pid();
kill 'USR2', $old;
until_true(sub { -s $Test::Nginx::Util::PidFile && master_pid() != $old && worker_pids() }, 'the new binary has workers');
my $new = master_pid();
kill 'QUIT', $new;
until_true(sub { gone($new) }, 'the new master has exited');
until_true(sub { -s $Test::Nginx::Util::PidFile && master_pid() == $old }, 'the old one is the only one');
push_ok('c', 'm4');
restart('QUIT');
same(epoch_of('c'), $epoch, 'the epoch is the same');
same(get('/icomet/sub?cname=c&seq=1'), '[' . join(',', map { data('c', $_, "m$_") } 1 .. 4) . "]\n", 'messages');
--- error_log eval
qr/\[error\] .*hub "main": state file "\S+2\.state" was not written: another nginx holds it; its channels and messages are lost/
