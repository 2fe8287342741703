# Open files: what the module adds to nginx's own, over reloads and deaths, and under small limits.

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use IcometTest;
use IcometTest::Process;
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} || $ENV{TEST_NGINX_USE_VALGRIND} ? (skip_all => 'nginx is started here') : 'no_plan';

# The files of a process, as text, by kind.
sub files {
    my ($pid) = @_;
    my %kinds;
    for my $fd (glob "/proc/$pid/fd/*") {
        my $file = readlink $fd // next;
        $file =~ s/\d+//g;
        $file =~ s{\A/.*}{file};
        $kinds{$file}++;
    }
    return join ' ', map { "$_$kinds{$_}" } sort keys %kinds;
}

# Of all processes, sorted: workers differ from one another by the channels that nginx gives them.
sub all_files {
    return join "\n", files(master_pid()), sort map { files($_) } worker_pids();
}

# The files once they are as expected.
sub files_are {
    my ($expected, $what) = @_;
    my $now;
    eval { until_true(sub { ($now = all_files()) eq $expected }, $what) };
    same($now, $expected, $what);
}

# A port that nobody listens on now.
sub free_port {
    require IO::Socket::INET;
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
    return $socket->sockport;
}

# Whether nginx serves with that configuration of two workers under a limit of open files, in a folder of its own: a
# message that is published reaches a subscriber, where the module is asked for; a page is had, where not.
sub serves_under {
    my ($limit, $with) = @_;
    my $dir = tempdir(CLEANUP => 1);
    mkdir "$dir/logs";
    my $port = free_port();
    my ($module, $hub, $places) = ('', '', '');
    if ($with) {
        $module = "load_module $ENV{TEST_NGINX_LOAD_MODULES};";
        $hub = 'icomet_hub main { zone 4m; }';
        $places = LOCATIONS;
    }
    spew("$dir/nginx.conf", <<"END");
$module
worker_processes 8;
pid $dir/nginx.pid;
error_log $dir/logs/error.log;
events { worker_connections 32; }
http { access_log off; $hub
    server { listen 127.0.0.1:$port reuseport; $places location = /page { return 200 "page\\n"; } } }
END
    my $up = system("ulimit -n $limit && exec $ENV{TEST_NGINX_BINARY} -p $dir -e $dir/logs/error.log -c $dir/nginx.conf 2>$dir/logs/out") == 0;
    my $log = sub { slurp("$dir/logs/error.log") };
    my $master;
    if ($up) {
        until_true(sub { -s "$dir/nginx.pid" }, 'it has a pid file');
        chomp($master = slurp("$dir/nginx.pid"));
        # All workers are there, or it was said that one is not.
        my @children;
        until_true(sub {
            @children = split ' ', slurp("/proc/$master/task/$master/children");
            @children == 8 || $log->() =~ /\[(?:alert|emerg)\]/;
        }, 'the workers have begun');
        # Each of them: connections are dealt out by their ports.
        for (1 .. 20) {
            my $got = eval { get('/page', port => $port) } // '';
            $up &&= $got eq "page\n";
            last if !$up;
        }
        if ($up && $with) {
            my @waiting = map { my $c = conn($port); $c->request('GET', '/icomet/stream?cname=c&seq=1'); $c->head; $c } 1 .. 10;
            get('/icomet-admin/push?cname=c&content=m', port => $port);
            $up &&= $_->line eq data('c', 1, 'm') . "\n" for @waiting;
        }
        kill 'TERM', $master;
        until_true(sub { gone($master) }, 'it has ended');
    }
    return $up && $log->() !~ /\[(?:alert|emerg|crit)\]/;
}

set_up(workers => 2);
run_tests();

__DATA__

=== TEST 1: twenty reloads, killed workers, and a quiet second later, all have as many files as in the beginning
--- timeout: 60
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $stream = subscribe('/icomet/stream?cname=c&seq=1');
$stream->head;
# The first generation has nobody before it: begin with the second.
reload();
until_true(sub { worker_pids() == 2 }, 'two workers');
my $before = all_files();
matches($before, qr/\A(?!.*eventfd\]\d\d)/s, 'no pool of them');
for (1 .. 20) {
    reload();
    until_true(sub { worker_pids() == 2 }, 'two workers');
}
files_are($before, 'files after twenty reloads');
carries_on($stream, 'c', 1, 'who came before them');
for (1 .. 3) {
    my ($one) = worker_pids();
    kill 'KILL', $one;
    until_true(sub { gone($one) && worker_pids() == 2 }, 'another one has begun');
}
# nginx gives the channels of a worker to those that it starts later, and so may leave one out from here on.
my $sum = sub { my $sum = 0; $sum += $_ for $_[0] =~ /(\d+)(?= |$)/gm; $sum };
my $most = $sum->($before);
for my $what ('three workers were killed', 'one more reload') {
    until_true(sub { my $now = $sum->(all_files()); $now > $most / 2 && $now <= $most }, "no more files after $what");
    reload();
    until_true(sub { worker_pids() == 2 }, 'two workers');
}
--- error_log
exited on signal 9



=== TEST 2: a master opens nothing for its workers, and each worker a few, however many there are
--- config
    location = /nothing { return 200; }
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %of;
for my $hub (1, 0) {
    if (!$hub) {
        rewrite_config(sub { s/icomet_(?:sub|pub) main;/return 404;/g; s/icomet_hub main \{.*?\}//; });
    }
    for my $workers (2, 16) {
        rewrite_config(sub { s/worker_processes\s+\d+;/worker_processes $workers;/ });
        restart();
        until_true(sub { worker_pids() == $workers }, "$workers workers");
        # Each has begun when its sockets are there; then nothing changes any more.
        my ($last, $now) = ('', '');
        until_true(sub { select undef, undef, undef, 0.1; ($last, $now) = ($now, all_files()); $now ne '' && $last eq $now }, 'all have begun');
        my $count = sub { my @counts = $_[0] =~ /(\d+)(?= |\z)/g; my $sum = 0; $sum += $_ for @counts; $sum };
        my ($master, @workers) = split /\n/, all_files();
        $of{$hub}{$workers} = [$count->($master), (sort { $b <=> $a } map { $count->($_) } @workers)[0]];
    }
}
for my $workers (2, 16) {
    my ($master, $worker) = map { $of{1}{$workers}[$_] - $of{0}{$workers}[$_] } 0, 1;
    same($master, 0, "more files of the master with $workers workers");
    same($worker <= 4 ? 'few' : $worker, 'few', "more files of a worker with $workers workers");
}



=== TEST 3: under each limit under which nginx serves without the module, 16 more are enough with it
--- timeout: 60
--- play
# The least limit without the module.
my ($low, $high) = (8, 256);
same(serves_under($high, 0) ? 'serves' : 'does not', 'serves', "a limit of $high without the module");
while ($high - $low > 1) {
    my $middle = int(($low + $high) / 2);
    if (serves_under($middle, 0)) { $high = $middle } else { $low = $middle }
}
same(serves_under($high + 16, 1) ? 'serves' : 'does not', 'serves', "$high files and 16 with the module");



=== TEST 4: worker_rlimit_nofile 500 serves 440 clients of one worker
--- timeout: 60
--- main_config
    worker_rlimit_nofile 500;
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- hub: max_subscribers_per_channel 1000;
--- play
rewrite_config(sub { s/worker_processes\s+\d+;/worker_processes 1;/; s/worker_connections\s+\d+;/worker_connections 480;/ });
restart();
my @all = map { subscribe('/icomet/stream?cname=c&seq=1') } 1 .. 440;
await_subscribers('c', 440);
push_ok('c', 'm1');
my %got;
$got{$_->line}++ for @all;
same(join('', map { "$_: $got{$_}" } keys %got), data('c', 1, 'm1') . "\n: 440", 'all of them have it');



=== TEST 5: it is said where worker_connections are more than the limit leaves, also by nginx -t, and not else
--- main_config
    worker_rlimit_nofile 500;
--- config
    location ~ ^/icomet/        { icomet_sub main; }
--- play
my $line = qr/\[warn\] .*?icomet: (\d+) worker_connections are more than the limit of 500 open files leaves beside some (\d+) others: raise worker_rlimit_nofile \(or ulimit -n\) to (\d+), or clients find no worker that can accept them/;
for my $connections (490, 400, 500) {
    rewrite_config(sub { s/worker_connections\s+\d+;/worker_connections $connections;/ });
    my ($status, $text) = run_nginx('-t');
    same($status, 0, "nginx -t with $connections");
    if ($connections == 400) {
        same($text =~ $line ? 'a line' : 'none', 'none', 'what fits');
    }
    else {
        same($text =~ $line ? "$1 " . ($3 - $2) : $text, "$connections $connections", "what does not: $connections");
    }
}
reload();
--- error_log eval
qr/\[warn\] .*500 worker_connections are more than the limit of 500 open files leaves beside some \d+ others: raise worker_rlimit_nofile \(or ulimit -n\) to \d+/
