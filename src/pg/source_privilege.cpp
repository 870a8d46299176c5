// The privilege on sources; see source_privilege.hpp.
#include "pg/source_privilege.hpp"

namespace pgstream {

enum SourcePrivilege : int { kSelect, kTrigger, kOwner };

static int source_privilege = kSelect;
static const config_enum_entry kPrivileges[] = {
    {"select", kSelect, false}, {"trigger", kTrigger, false}, {"owner", kOwner, false}, {nullptr, 0, false}};

static bool MayCapture(Oid owner, Oid source) {
  switch (source_privilege) {
    case kTrigger:
      return pg_class_aclcheck(source, owner, ACL_TRIGGER) == ACLCHECK_OK;
    case kOwner:
      return compat::OwnsRelation(source, owner);
    default:
      return true;
  }
}

void CheckSourcePrivilege(Oid owner, const DeltaPlan *plan) {
  for (int i = 0; i < plan->nsources; ++i)
    if (!MayCapture(owner, plan->sources[i]))
      ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                      errmsg("permission denied to capture changes of table \"%s\"", get_rel_name(plan->sources[i])),
                      errdetail(source_privilege == kOwner ? "\"pgstream.source_privilege\" asks for its owner."
                                                           : "\"pgstream.source_privilege\" asks for the TRIGGER privilege.")));
}

void InitSourcePrivilege() {
  DefineCustomEnumVariable("pgstream.source_privilege",
                           "What the owner of a stream table must hold on the tables that its query reads.",
                           "select: what running the query asks for; trigger: the TRIGGER privilege, too; owner: to own them.",
                           &source_privilege, kSelect, kPrivileges, PGC_SUSET, 0, nullptr, nullptr, nullptr);
}

}  // namespace pgstream
