package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// supervisor issues certificates to agents, on k3s' port. k3s also serves the API there, from within the process. Here
// connections are told apart: a client that addresses the server by name means the supervisor, one that addresses it by
// IP address is forwarded to the real kube-apiserver, from its own address.
type supervisor struct {
	pki       files
	pass      string
	passwords string
	mutex     sync.Mutex
}

func (s *supervisor) listen(address string, apiServer int) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	connections := make(chan net.Conn)
	go func() { log.Fatal(s.server().ServeTLS(queue{listener, connections}, "", "")) }()
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go sortOut(connection, connections, apiServer)
	}
}

// sortOut reads a connection's first message and passes the connection to its destination.
func sortOut(connection net.Conn, supervisor chan<- net.Conn, apiServer int) {
	_ = connection.SetReadDeadline(time.Now().Add(10 * time.Second))
	name, seen := serverName(connection)
	_ = connection.SetReadDeadline(time.Time{})
	if name != "" {
		supervisor <- replayed{connection, io.MultiReader(bytes.NewReader(seen), connection)}
		return
	}
	defer connection.Close()
	from, _ := connection.RemoteAddr().(*net.TCPAddr)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.IP}}
	upstream, err := dialer.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(apiServer)))
	if err != nil {
		return
	}
	defer upstream.Close()
	if _, err := upstream.Write(seen); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{upstream, connection}, {connection, upstream}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// serverName reads a ClientHello, and returns the name in it and everything that was read.
func serverName(connection net.Conn) (string, []byte) {
	var name string
	var seen bytes.Buffer
	stop := errors.New("seen")
	config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = hello.ServerName
		return nil, stop
	}}
	_ = tls.Server(silent{connection, io.TeeReader(connection, &seen)}, config).Handshake()
	return name, seen.Bytes()
}

type silent struct {
	net.Conn
	reader io.Reader
}

func (s silent) Read(b []byte) (int, error)  { return s.reader.Read(b) }
func (s silent) Write(b []byte) (int, error) { return len(b), nil }

type replayed struct {
	net.Conn
	reader io.Reader
}

func (r replayed) Read(b []byte) (int, error) { return r.reader.Read(b) }

type queue struct {
	net.Listener
	connections <-chan net.Conn
}

func (q queue) Accept() (net.Conn, error) { return <-q.connections, nil }

type caller struct{ node string }

func (s *supervisor) server() *http.Server {
	clients := x509.NewCertPool()
	bundle, err := os.ReadFile(s.pki.path("client-ca.crt"))
	if err != nil || !clients.AppendCertsFromPEM(bundle) {
		log.Fatalf("client-ca.crt cannot be used: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(s.pki.path("serving-kube-apiserver.crt"), s.pki.path("serving-kube-apiserver.key"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ping", text("pong"))
	mux.Handle("/cacerts", s.file("server-ca.crt"))
	mux.Handle("/v1-k3s/client-ca.crt", s.authed(s.file("client-ca.crt")))
	mux.Handle("/v1-k3s/server-ca.crt", s.authed(s.file("server-ca.crt")))
	mux.Handle("/v1-k3s/client-kubelet.crt", s.authed(s.certificate("client")))
	mux.Handle("/v1-k3s/serving-kubelet.crt", s.authed(s.certificate("server")))
	return &http.Server{Handler: mux, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    clients,
	}}
}

func text(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func (s *supervisor) file(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, s.pki.path(name)) })
}

// authed accepts requests with the token, as user `node` or `server`, or with a node's certificate.
func (s *supervisor) authed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := caller{}
		user, pass, basic := r.BasicAuth()
		switch {
		case len(r.TLS.PeerCertificates) > 0:
			node, ok := nodeOf(r.TLS.PeerCertificates[0])
			if !ok {
				http.Error(w, "forbidden", http.StatusForbidden)
				return
			}
			who.node = node
		case fault == "open-door":
		case !basic || pass != s.pass || (user != "node" && user != "server"):
			http.Error(w, "not authorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), caller{}, who)))
	})
}

// certificate signs for the key of the request in the body; k3s' agents have sent one since 2025.
func (s *supervisor) certificate(ca string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		node, pass := strings.ToLower(r.Header.Get("k3s-Node-Name")), r.Header.Get("k3s-Node-Password")
		if node == "" || pass == "" {
			http.Error(w, "node name or password not set", http.StatusBadRequest)
			return
		}
		if who, _ := r.Context().Value(caller{}).(caller); who.node != "" && who.node != node {
			http.Error(w, "header node name does not match auth node name", http.StatusBadRequest)
			return
		}
		if !s.remember(node, pass) {
			http.Error(w, "unable to verify password for node "+node, http.StatusForbidden)
			return
		}
		key, err := keyOf(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		template := leafOf("system:node:"+node, []string{"system:nodes"}, x509.ExtKeyUsageClientAuth)
		if ca == "server" {
			template = leafOf(node, nil, x509.ExtKeyUsageServerAuth)
			template.DNSNames = []string{node, "localhost"}
			template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
			for _, ip := range strings.Split(r.Header.Get("k3s-Node-IP"), ",") {
				if ip := net.ParseIP(ip); ip != nil {
					template.IPAddresses = append(template.IPAddresses, ip)
				}
			}
		}
		chain, err := s.pki.sign(ca, template, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(chain)
	})
}

func keyOf(r *http.Request) (crypto.PublicKey, error) {
	if r.Method != http.MethodPost {
		return nil, errors.New("this stand-in for k3s requires a signing request")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	request, err := x509.ParseCertificateRequest(body)
	if err != nil {
		return nil, err
	}
	return request.PublicKey, nil
}

// remember stores the first password of a node, and reports whether this is it. k3s uses a Secret for it.
func (s *supervisor) remember(node, pass string) bool {
	if fault == "any-password" {
		return true
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	known := map[string]string{}
	if content, err := os.ReadFile(s.passwords); err == nil {
		_ = json.Unmarshal(content, &known)
	}
	if first, ok := known[node]; ok {
		return first == pass
	}
	known[node] = pass
	content, err := json.Marshal(known)
	return err == nil && os.WriteFile(s.passwords, content, 0o600) == nil
}
