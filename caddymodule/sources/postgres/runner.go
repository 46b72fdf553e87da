package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sqlrows"
)

// runner runs queries on the connection, in its transaction if there is one. They
// are not prepared: the tables may change under a long connection, and a pooler in
// between may know nothing of prepared statements. So all values come as text.
func (c *conn) runner(ctx context.Context) sqlrows.Runner {
	return func(query string, head func([]string) error, row func([]any) error) error {
		rows, err := c.query(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		// The columns are known with the first row, or with the end.
		more := rows.Next()
		if err := rows.Err(); err != nil {
			return err
		}
		fields := rows.FieldDescriptions()
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.Name
		}
		if err := head(names); err != nil {
			return err
		}
		if unknown := c.unknownTypes(fields); more && len(unknown) > 0 {
			rows.Close()
			if err := c.learn(ctx, unknown); err != nil {
				return err
			}
			if rows, err = c.query(ctx, query); err != nil {
				return err
			}
			defer rows.Close()
			more = rows.Next()
		}
		for ; more; more = rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return err
			}
			for i := range values {
				values[i] = plain(values[i], fields[i].DataTypeOID)
			}
			if err := row(values); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

func (c *conn) query(ctx context.Context, query string) (pgx.Rows, error) {
	return c.conn.Query(ctx, query, pgx.QueryExecModeExec)
}

func (c *conn) unknownTypes(fields []pgconn.FieldDescription) (oids []string) {
	for _, f := range fields {
		if _, known := c.conn.TypeMap().TypeForOID(f.DataTypeOID); !known {
			oids = append(oids, fmt.Sprint(f.DataTypeOID))
		}
	}
	return oids
}

// learn finds out which of somebody's own types are arrays, as citext[] or one of a
// domain, and has them read as lists of texts; the others are texts.
func (c *conn) learn(ctx context.Context, oids []string) error {
	rows, err := c.query(ctx, "SELECT oid, typcategory = 'A' FROM pg_type WHERE oid IN ("+strings.Join(oids, ", ")+")")
	if err != nil {
		return err
	}
	var (
		oid   uint32
		array bool
	)
	types := c.conn.TypeMap()
	text, _ := types.TypeForOID(pgtype.TextOID)
	_, err = pgx.ForEachRow(rows, []any{&oid, &array}, func() error {
		codec := text.Codec
		if array {
			codec = &pgtype.ArrayCodec{ElementType: text}
		}
		types.RegisterType(&pgtype.Type{Name: fmt.Sprint("type ", oid), OID: oid, Codec: codec})
		return nil
	})
	return err
}

// plain reduces the driver's values to those that records take.
func plain(value any, oid uint32) any {
	switch v := value.(type) {
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint32:
		return int64(v)
	case float32:
		return float64(v)
	case string:
		if oid == pgtype.BPCharOID {
			return strings.TrimRight(v, " ") // which Postgres adds to a char(n)
		}
	case []any:
		if oid == pgtype.BPCharArrayOID {
			for i := range v {
				v[i] = plain(v[i], pgtype.BPCharOID)
			}
		}
	case pgtype.Numeric:
		return plainNumeric(v)
	}
	return value
}

// plainNumeric returns an integer if the number is one, as text if it is too large.
func plainNumeric(n pgtype.Numeric) any {
	if i, err := n.Int64Value(); err == nil && i.Valid {
		return i.Int64
	}
	if n.Exp >= 0 && n.Int != nil && !n.NaN {
		if text, err := n.MarshalJSON(); err == nil {
			return string(text)
		}
	}
	f, err := n.Float64Value()
	if err != nil {
		return n
	}
	return f.Float64
}

// dialect is that of Postgres.
var dialect = sqlrows.Dialect{
	Columns: "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass('%s') AND attnum > 0 AND NOT attisdropped " +
		"AND has_column_privilege(attrelid, attnum, 'SELECT')",
	Hosts:    "string_agg(host::text, ',')",
	Verified: "(verified::text IN ('t', 'true') OR verified::text ~ '^[1-9][0-9]*$')",
	Server:   "pg_postmaster_start_time()::text",
	// Row-level security shows an empty table to a role that no policy is for.
	Hidden: "SELECT EXISTS (SELECT FROM pg_class WHERE relrowsecurity AND row_security_active(oid))",
}
