# state_file beside a binary upgrade (USR2), and beside another process that holds the file.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Process;
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} || $ENV{TEST_NGINX_USE_VALGRIND} ? (skip_all => 'nginx is upgraded here') : 'no_plan';

sub error_log_size { return -s $Test::Nginx::Util::ErrLogFile // 0 }

sub error_log_since {
    my ($size) = @_;
    return substr slurp($Test::Nginx::Util::ErrLogFile), $size;
}

state_dir();
set_up();
run_tests();

__DATA__

=== TEST 1: a new binary refuses to start, and the old one goes on; a restart loses nothing
--- hub: state_file $TEST_NGINX_STATE_DIR/1.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
my $epoch = epoch_of('c');
my $old = master_pid();
my $file = state_dir() . '/1.state';
my $before = slurp($file);
my $stream = subscribe('/icomet/stream?cname=c&seq=4');
kill 'USR2', $old;
error_log_has(qr/new binary process \d+ exited with code 1/);
until_true(sub { -s $Test::Nginx::Util::PidFile && master_pid() == $old }, 'the old one is the only one');
push_ok('c', 'm4');
same($stream->line, data('c', 4, 'm4') . "\n", 'its subscribers stay');
same(slurp($file), $before, 'the file is as it was');
restart('QUIT');
same(epoch_of('c'), $epoch, 'the epoch is the same');
same(get('/icomet/sub?cname=c&seq=1'), '[' . join(',', map { data('c', $_, "m$_") } 1 .. 4) . "]\n", 'messages');
--- error_log eval
qr/\[emerg\] .*a binary upgrade would lose the channels of hub "main": the running nginx holds its state file "\S+1\.state", and goes on; restart nginx instead, which loses nothing/



=== TEST 2: an upgrade to a configuration without the file; what the old one had ends, and is not read later
--- hub: state_file $TEST_NGINX_STATE_DIR/2.state;
--- play
push_ok('c', "m$_") for 1 .. 3;
my $epoch = epoch_of('c');
my $old = master_pid();
my $good = rewrite_config(sub { s/state_file \S+;// });
kill 'USR2', $old;
until_true(sub { -s $Test::Nginx::Util::PidFile && master_pid() != $old && worker_pids() }, 'the new binary has workers');
kill 'QUIT', $old;
until_true(sub { gone($old) }, 'the old master has exited');
same(get('/icomet-admin/check?cname=c'), "{}\n", 'the new one is empty');
push_ok('c', 'fresh');
same(http('GET', '/icomet/sub?cname=c&seq=4', headers => [qq(If-None-Match: "$epoch-3")])->{text},
    '[' . data('c', 1, '', 'lost') . ',' . data('c', 1, 'fresh') . "]\n", 'clients are told');
rewrite_config(sub { $_ = $good });
restart('QUIT');
same(get('/icomet-admin/check?cname=c'), "{}\n", 'no old file is read');
push_ok('c', 'kept');
restart('QUIT');
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'kept') . "]\n", 'from here on as ever');
--- error_log eval
qr/\[warn\] .*hub "main": state file "\S+2\.state" is not written, because the new binary serves already; 1 channels and 3 messages end here/



=== TEST 3: a file that another nginx holds is waited for, at the start only
--- hub: state_file $TEST_NGINX_STATE_DIR/3.state;
--- play
push_ok('c', 'm1');
stop('QUIT');
# Another process holds it, and ends while nginx waits.
my $file = state_dir() . '/3.state';
open my $held, '+<', $file or die "$file: $!";
flock $held, 2 | 4 or die "flock: $!";
my $child = fork // die "fork: $!";
if (!$child) {
    eval { error_log_has(qr/another nginx holds state file/) };
    require POSIX;
    POSIX::_exit(0);
}
close $held;
start();
waitpid $child, 0;
same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'm1') . "]\n", 'messages');
--- error_log eval
qr/\[notice\] .*hub "main": another nginx holds state file "\S+3\.state"; waiting until it has exited/



=== TEST 4: a variable NGINX of somebody else is no upgrade: the file that another nginx holds is waited for
--- hub: state_file $TEST_NGINX_STATE_DIR/4.state;
--- play
push_ok('c', 'm1');
my $file = state_dir() . '/4.state';
# Sockets of a supervisor, and a purpose of its own.
require IO::Socket::INET;
local $^F = 255;
my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no socket: $!";
for my $variable (fileno($socket) . ';', '/usr/sbin/nginx') {
    stop('QUIT');
    my $log = error_log_size();
    local $^F = 2;
    open my $held, '+<', $file or die "$file: $!";
    flock $held, 2 | 4 or die "flock: $!";
    my $child = fork // die "fork: $!";
    if (!$child) {
        eval { until_true(sub { error_log_since($log) =~ /another nginx holds state file|\[emerg\] .*icomet/ }, 'it waits') };
        require POSIX;
        POSIX::_exit(0);
    }
    close $held;
    {
        # It does not go into the background of itself then.
        local $ENV{NGINX} = $variable;
        system IcometTest::Process::_command('') . ' &';
    }
    waitpid $child, 0;
    until_true(sub { -s $Test::Nginx::Util::PidFile }, 'nginx has a pid file');
    get('/alive');
    same(get('/icomet/sub?cname=c&seq=1'), '[' . data('c', 1, 'm1') . "]\n", "messages, with NGINX=$variable");
}
--- error_log
another nginx holds state file
