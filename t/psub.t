# psub: the coming and going of channels.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: online and offline lines
--- http_config
    icomet_hub psub1 { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub psub1; }
    location ~ ^/icomet-admin/  { icomet_pub psub1; }
--- play
push_ok('before', 'x');
my $psub = conn()->request('GET', '/icomet-admin/psub');
same($psub->head, 200, 'status');
same($psub->header('Transfer-Encoding'), 'chunked', 'Transfer-Encoding');
push_ok('pushed', 'x');
same($psub->line, "1 pushed\n", 'made by push');
push_ok('pushed', 'y');
get('/icomet-admin/sign?cname=signed');
same($psub->line, "1 signed\n", 'made by sign; a second push is no event');
get('/icomet/sub?cname=subscribed');
same($psub->line, "1 subscribed\n", 'made by a subscribe');
get('/icomet-admin/close?cname=signed');
same($psub->line, "0 signed\n", 'closed');
get('/icomet-admin/close?cname=before');
same($psub->line, "0 before\n", 'one that was there before');
push_ok('a b<"' . "\xc3\xa4", 'x');
same($psub->line, "1 a b<\"\xc3\xa4\n", 'a name as it is');



=== TEST 2: the content type is one that no browser runs
--- http_config
    icomet_hub psub2 { zone 4m; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub psub2; }
--- play
my $psub = conn()->request('POST', '/icomet-admin/psub', body => '');
same($psub->head, 200, 'by POST too');
same($psub->header('Content-Type'), 'text/plain; charset=utf-8', 'Content-Type');
push_ok('x', 'x');
same($psub->line, "1 x\n", 'line');



=== TEST 3: live channels are repeated each channel_timeout, and expiry is told
--- http_config
    icomet_hub psub3 { zone 4m; channel_timeout 1s; }
--- config
    location ~ ^/icomet/        { icomet_sub psub3; }
    location ~ ^/icomet-admin/  { icomet_pub psub3; }
--- play
my @stays = map { subscribe("/icomet/stream?cname=stays$_&seq=1") } 1 .. 3;
my $psub = conn()->request('GET', '/icomet-admin/psub');
$psub->head;
for my $round (1 .. 3) {
    same(join('', sort map { $psub->line } 1 .. 3), "1 stays1\n1 stays2\n1 stays3\n", "round $round");
}
$stays[1]->leave;
my $line;
1 until ($line = $psub->line) =~ /^0/ or $line eq '';
same($line, "0 stays2\n", 'the one that was left');
my @lines = map { $psub->line } 1 .. 4;
same(join('', sort @lines), "1 stays1\n1 stays1\n1 stays3\n1 stays3\n", 'the others are repeated, it is not');



=== TEST 4: every psub hears everything
--- http_config
    icomet_hub psub4 { zone 4m; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub psub4; }
--- play
my @psubs = map { conn()->request('GET', '/icomet-admin/psub') } 1 .. 5;
$_->head for @psubs;
for my $n (1 .. 100) { push_ok("c$n", 'x') }
get("/icomet-admin/close?cname=c$_") for 1 .. 100;
# Events of different channels may pass one another, those of one channel may not.
for my $psub (@psubs) {
    my %state;
    my $wrong = 0;
    for (1 .. 200) {
        my ($online, $cname) = $psub->line =~ /^([01]) (c\d+)\n\z/ or die 'no event';
        $wrong++ unless $online eq (exists $state{$cname} ? '0' : '1');
        $state{$cname} = $online;
    }
    same($wrong, 0, 'events out of order');
    same(scalar(grep { $_ eq '0' } values %state), 100, 'channels that came and went');
}



=== TEST 5: psub makes no channel and counts as no subscriber; hubs are separate
--- http_config
    icomet_hub psub5a { zone 4m; }
    icomet_hub psub5b { zone 4m; }
--- config
    location ~ ^/a/ { icomet_pub psub5a; }
    location ~ ^/b/ { icomet_pub psub5b; }
--- play
my ($a, $b) = map { conn()->request('GET', "/$_/psub") } qw(a b);
$_->head for $a, $b;
matches(get('/a/info'), qr/"channels": 0, "subscribers": 0\}\n\z/, 'info');
push_ok('of-a', 'x', '/a');
push_ok('of-b', 'x', '/b');
same($a->line, "1 of-a\n", 'a');
same($b->line, "1 of-b\n", 'b');



=== TEST 6: a psub that leaves does no harm
--- http_config
    icomet_hub psub6 { zone 4m; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub psub6; }
--- play
my @psubs = map { conn()->request('GET', '/icomet-admin/psub') } 1 .. 4;
$_->head for @psubs;
$psubs[0]->leave;
$psubs[1]->reset;
push_ok('x', 'x');
same($psubs[$_]->line, "1 x\n", "psub $_") for 2, 3;



=== TEST 7: parameters of psub are ignored, its methods are those of the admin side
--- http_config
    icomet_hub psub7 { zone 4m; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub psub7; }
--- play
my $psub = conn()->request('GET', '/icomet-admin/psub?cname=only&cb=(');
same($psub->head, 200, 'status');
push_ok('other', 'x');
same($psub->line, "1 other\n", 'line');
