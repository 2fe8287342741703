package IcometTest::Process;

# Stops and starts nginx within a block, with the block's configuration, as an operator would.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use IcometTest;
use POSIX qw(WNOHANG);
use Test::Nginx::Util ();

our @EXPORT = qw(state_dir stop start restart run_nginx gone slurp spew);

# A folder outside of the server root, which Test::Nginx empties; it is $TEST_NGINX_STATE_DIR in a configuration.
sub state_dir {
    $ENV{TEST_NGINX_STATE_DIR} ||= tempdir(CLEANUP => 1);
    return $ENV{TEST_NGINX_STATE_DIR};
}

sub _command {
    my ($more) = @_;
    my $root = Test::Nginx::Util::server_root();
    return "$ENV{TEST_NGINX_BINARY} -e $root/logs/error.log -p $root/ -c $Test::Nginx::Util::ConfFile $more > $root/logs/out 2>&1";
}

# nginx with more arguments: its exit status, and what it said.
sub run_nginx {
    my ($more) = @_;
    # An nginx that fails when it has read its configuration leaves the cycle's pool behind.
    local $ENV{ASAN_OPTIONS} = "$ENV{ASAN_OPTIONS},detect_leaks=0" if $ENV{ASAN_OPTIONS};
    my $status = system _command($more);
    return ($status >> 8, slurp(Test::Nginx::Util::server_root() . '/logs/out'));
}

# Whether a process has ended; one that nobody has waited for has, too.
sub gone {
    my ($pid) = @_;
    waitpid $pid, WNOHANG;
    open my $in, '<', "/proc/$pid/stat" or return 1;
    my $stat = <$in> // '';
    return $stat eq '' || $stat =~ /\) Z /;
}

# Sends the master a signal, and waits until it and its workers are gone.
sub stop {
    my ($signal) = @_;
    my ($master, @workers) = (master_pid(), worker_pids());
    kill $signal, $master;
    until_true(sub { gone($master) }, "the master has exited after $signal");
    # Without their master, workers would go on.
    kill 'KILL', @workers if $signal eq 'KILL';
    until_true(sub { !grep { !gone($_) } @workers }, "the workers are gone after $signal");
    unlink $Test::Nginx::Util::PidFile;
    return;
}

# Starts nginx and waits until it serves.
sub start {
    my $command = _command('');
    if ($ENV{TEST_NGINX_USE_VALGRIND}) {
        system Test::Nginx::Util::_build_valgrind_command($command) . ' &';
    }
    else {
        system($command) == 0 or die 'nginx does not start: ' . slurp(Test::Nginx::Util::server_root() . '/logs/out');
    }
    until_true(sub { -s $Test::Nginx::Util::PidFile }, 'nginx has a pid file');
    get('/alive');
    return;
}

sub restart {
    my ($signal) = @_;
    stop($signal || 'QUIT');
    return start();
}

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "cannot read $file: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>:raw', $file or die "cannot write $file: $!\n";
    print $out $text;
    close $out or die "cannot write $file: $!\n";
    return;
}

1;
