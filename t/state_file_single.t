# state_file with master_process off: one process that is master and worker.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Process;
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} ? (skip_all => 'such a process is not reloaded') : 'no_plan';

state_dir();
set_up(single => 1);
run_tests();

__DATA__

=== TEST 1: quit, stop, kill
--- hub: state_file $TEST_NGINX_STATE_DIR/1.state;
--- play
push_ok('c', 'm1');
my $epoch = epoch_of('c');
for my $n (2 .. 3) {
    restart($n == 2 ? 'QUIT' : 'TERM');
    same(epoch_of('c'), $epoch, 'the epoch is the same');
    push_ok('c', "m$n");
}
same(get('/icomet/sub?cname=c&seq=1'), '[' . join(',', map { data('c', $_, "m$_") } 1 .. 3) . "]\n", 'messages');
restart('KILL');
same(get('/icomet-admin/check?cname=c'), "{}\n", 'after a kill it is empty');
--- error_log eval
[qr/hub "main": 1 channels and 2 messages were read from/, qr/was read before and not written since/]
