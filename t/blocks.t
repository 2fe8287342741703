# Blocks of nginx's own within an icomet location: if, limit_except.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: an if that matches serves as its location does
--- config
    location ~ ^/icomet/ {
        icomet_sub main;
        if ($http_origin) {
            add_header X-Origin-Seen yes;
        }
    }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
push_ok('blocks1', 'x');
my $expected = '[' . data('blocks1', 1, 'x') . "]\n";
same(get('/icomet/sub?cname=blocks1&seq=1'), $expected, 'without a match');
my $answer = http('GET', '/icomet/sub?cname=blocks1&seq=1', headers => ['Origin: http://example.com']);
same($answer->{text}, $expected, 'with a match');



=== TEST 2: who passes limit_except is served
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  {
        icomet_pub main;
        limit_except GET { allow 127.0.0.1; deny all; }
    }
--- play
same(post('/icomet-admin/push', 'cname=blocks2&content=x'), qq({"type":"ok"}\n), 'POST');
same(get('/icomet-admin/push?cname=blocks2&content=y'), qq({"type":"ok"}\n), 'GET');



=== TEST 3: who does not pass limit_except is not
--- config
    location ~ ^/icomet-admin/  {
        icomet_pub main;
        limit_except GET { deny all; }
    }
--- play
same(http('POST', '/icomet-admin/push', body => 'cname=blocks3&content=x')->{status}, 403, 'POST');
same(get('/icomet-admin/push?cname=blocks3&content=y'), qq({"type":"ok"}\n), 'GET');
--- error_log
access forbidden by rule
