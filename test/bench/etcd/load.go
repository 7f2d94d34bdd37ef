// Asks etcd (and, for the row about HTTP, whoever speaks it) as fast as it can, from Debian's own
// packages: golang-go and golang-etcd-server-dev. Driven by ../etcd.ts.
//
//	load leader -endpoints A,B,C             prints the endpoint of the leader
//	load put|get -endpoints A,B -inflight N  prints how many were answered in a second
//	load http -url U [-unix PATH] -body B    the same for POST
//	load probe -endpoints A,B                a put every 10 ms: prints when it was sent, and
//	                                         answered, in milliseconds since 1970
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/etcdserver/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	patience = 10 * time.Second
	// A follower does not say when its leader is lost with a put in hand: the client asks again.
	probePeriod  = 10 * time.Millisecond
	probeTimeout = 250 * time.Millisecond
)

// What flanneld writes for a lease.
var key = []byte("/coreos.com/network/subnets/10.244.3.0-24")
var value = []byte(`{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"host-gw"}`)

var (
	endpoints = flag.String("endpoints", "", "host:port, with commas between")
	inflight  = flag.Int("inflight", 1, "")
	seconds   = flag.Float64("seconds", 1, "")
	url       = flag.String("url", "", "")
	unixPath  = flag.String("unix", "", "a socket to use whatever the URL says")
	body      = flag.String("body", "", "")
)

func main() {
	verb := os.Args[1]
	flag.CommandLine.Parse(os.Args[2:])
	switch verb {
	case "leader":
		fmt.Println(leader())
	case "put":
		measure(eachOf(func(kv pb.KVClient) error {
			_, err := kv.Put(context.Background(), &pb.PutRequest{Key: key, Value: value})
			return err
		}))
	case "get":
		measure(eachOf(func(kv pb.KVClient) error {
			_, err := kv.Range(context.Background(), &pb.RangeRequest{Key: key})
			return err
		}))
	case "http":
		measure(post())
	case "probe":
		probe()
	default:
		log.Fatalf("load: no such verb: %s", verb)
	}
}

func dial() []*grpc.ClientConn {
	var connections []*grpc.ClientConn
	for _, endpoint := range strings.Split(*endpoints, ",") {
		connection, err := grpc.Dial(endpoint, grpc.WithInsecure(), grpc.WithBackoffMaxDelay(probeTimeout))
		if err != nil {
			log.Fatal(err)
		}
		connections = append(connections, connection)
	}
	return connections
}

func leader() string {
	for i, connection := range dial() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		status, err := pb.NewMaintenanceClient(connection).Status(ctx, &pb.StatusRequest{})
		cancel()
		if err == nil && status.Leader == status.Header.MemberId {
			return strings.Split(*endpoints, ",")[i]
		}
	}
	return ""
}

// One connection to each endpoint, used in turn.
func eachOf(ask func(pb.KVClient) error) func() error {
	var clients []pb.KVClient
	for _, connection := range dial() {
		clients = append(clients, pb.NewKVClient(connection))
	}
	var turn uint64
	return func() error {
		return ask(clients[atomic.AddUint64(&turn, 1)%uint64(len(clients))])
	}
}

func post() func() error {
	transport := &http.Transport{MaxIdleConnsPerHost: *inflight}
	if *unixPath != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", *unixPath)
		}
	}
	client := &http.Client{Transport: transport, Timeout: patience}
	return func() error {
		answer, err := client.Post(*url, "application/json", bytes.NewReader([]byte(*body)))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode >= 300 {
			err = fmt.Errorf("%s: %s", answer.Status, text)
		}
		return err
	}
}

// So many askers, each with one question out. The first fifth of the time warms up.
func measure(ask func() error) {
	var count uint64
	var counting, done uint32
	var askers sync.WaitGroup
	for i := 0; i < *inflight; i++ {
		askers.Add(1)
		go func() {
			defer askers.Done()
			for atomic.LoadUint32(&done) == 0 {
				if err := ask(); err != nil {
					log.Fatal(err)
				}
				atomic.AddUint64(&count, uint64(atomic.LoadUint32(&counting)))
			}
		}()
	}
	all := time.Duration(*seconds * float64(time.Second))
	time.Sleep(all / 5)
	atomic.StoreUint32(&counting, 1)
	started := time.Now()
	time.Sleep(all - all/5)
	atomic.StoreUint32(&counting, 0)
	fmt.Println(float64(atomic.LoadUint64(&count)) / time.Since(started).Seconds())
	atomic.StoreUint32(&done, 1)
	askers.Wait()
}

func probe() {
	var clients []pb.KVClient
	for _, connection := range dial() {
		clients = append(clients, pb.NewKVClient(connection))
	}
	for turn := 0; ; turn++ {
		go func(kv pb.KVClient) {
			sent := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
			defer cancel()
			if _, err := kv.Put(ctx, &pb.PutRequest{Key: key, Value: value}); err == nil {
				answered := time.Now()
				fmt.Printf("%.3f %.3f\n", millis(sent), millis(answered))
			}
		}(clients[turn%len(clients)])
		time.Sleep(probePeriod)
	}
}

func millis(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }
