"""The rights of the modules in PostgreSQL: logins, roles, databases, schemas.

SQLite has no such rights: a file belongs to the process that opens it.

    rights           the role and the schemas of an alias, stated once
    provisioning     `migrate` creates missing roles and schemas, if its login may
    present_rights   `permissions check`: what PostgreSQL has, compared with that
    administration   `permissions`: logins, databases and all rights, for an administrator to render or apply
"""
