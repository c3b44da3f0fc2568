// Expressions from JSON.
#include <set>

#include "cedar/expr_json.h"
#include "cedar/json.h"
#include "cedar/json_place.h"
#include "cedar/policy_json.h"

namespace wary::cedar {

namespace {

using codec::Json;

Error missing(std::string_view name) {
  return fail(ErrorKind::kInvalid, "cedar_json_member", "a member is missing").expected(name);
}

const JsonOperator* find_operator(std::string_view name) {
  for (const JsonOperator& op : kJsonOperators) {
    if (op.name == name) return &op;
  }
  return nullptr;
}

Result<const Json*> member(const Json& json, std::string_view name) {
  const Json* found = json.find(name);
  if (found == nullptr) return missing(name);
  return found;
}

class Reader {
 public:
  Result<Expr> read(const Json& json, std::size_t depth) {
    const Nesting nesting(nesting_);
    WARY_RETURN_IF_ERROR(check_depth(depth));
    if (!json.is_object()) return wrong_type("an object with one operator", json);
    if (json.members().size() != 1) {
      return fail(ErrorKind::kInvalid, "cedar_json_operator", "an expression is an object with one operator")
          .expected("one member")
          .found(std::to_string(json.members().size()));
    }
    const auto& [name, body] = json.members().front();
    auto expression = operation(name, json, body, depth);
    if (!expression.ok()) return inside(std::move(expression).error(), name);
    return expression;
  }

  // {"Value": ...}: sets, records and extension calls may be written as data, too.
  Result<Expr> value(const Json& json, std::size_t depth) {
    const Nesting nesting(nesting_);
    WARY_RETURN_IF_ERROR(check_depth(depth));
    Expr out;
    switch (json.type()) {
      case Json::Type::kBool: out.literal = Value(json.as_bool()); return out;
      case Json::Type::kInteger: out.literal = Value(json.as_integer()); return out;
      case Json::Type::kString:
        WARY_RETURN_IF_ERROR(check_text(json.as_string()));
        out.literal = Value(std::string_view(json.as_string()));
        return out;
      case Json::Type::kArray: {
        out.kind = ExprKind::kSet;
        for (std::size_t i = 0; i < json.items().size(); ++i) {
          auto item = value(json.items()[i], depth + 1);
          if (!item.ok()) return inside(std::move(item).error(), std::to_string(i));
          out.operands.push_back(std::move(*item));
        }
        return out;
      }
      case Json::Type::kObject: return value_object(json, depth);
      case Json::Type::kNull:
      case Json::Type::kNumber: break;
    }
    return wrong_type("a boolean, integer, string, array or object", json);
  }

 private:
  class Nesting {
   public:
    explicit Nesting(std::size_t& level) : level_(++level) {}
    ~Nesting() { --level_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    std::size_t& level_;
  };

  // Of the JSON, where chains nest; and of what comes out, which is how deep this recurses.
  Status check_depth(std::size_t depth) const {
    if (depth > kExpressionJsonDepth) {
      return fail(ErrorKind::kInvalid, "cedar_json_depth", "the JSON is nested too deep")
          .expected("at most " + std::to_string(kExpressionJsonDepth) + " levels");
    }
    if (nesting_ <= limits::kPolicyDepth + 1) return {};
    return fail(ErrorKind::kInvalid, "cedar_depth", "the expression is nested too deep")
        .expected("at most " + std::to_string(limits::kPolicyDepth) + " levels");
  }

  // The cases are calls of their own: in line, each level of nesting would take the room of all of them on the stack.
  Result<Expr> operation(const std::string& name, const Json& json, const Json& body, std::size_t depth) {
    if (name == "Value") return value(body, depth + 1);
    if (name == "Var") return variable(body);
    if (const JsonOperator* op = find_operator(name))
      return is_chain(op->kind) ? chain(json, depth) : plain(*op, body, depth);
    if (name == "if-then-else") return conditional(body, depth);
    if (name == ".") return attribute(body, depth);
    if (name == "has") return has(body, depth);
    if (name == "like") return like(body, depth);
    if (name == "is") return is_type(body, depth);
    if (name == "Set") return list(ExprKind::kSet, body, depth);
    if (name == "Record") return record(body, depth);
    if (name == "Slot") {
      return fail(ErrorKind::kInvalid, "cedar_slots", "a template slot outside the scope")
          .next("?principal and ?resource stand in the scope only");
    }
    const ExtensionFunction* function = find_extension(name);
    if (function == nullptr)
      return fail(ErrorKind::kInvalid, "cedar_json_operator", "no such operator or function").found(name);
    return call(*function, body, depth);
  }

  Status check_text(const std::string& text) const {
    if (is_valid_utf8(text)) return {};
    return fail(ErrorKind::kInvalid, "cedar_utf8", "the text is not UTF-8");
  }

  [[gnu::noinline]] Result<Expr> variable(const Json& body) const {
    if (!body.is_string()) return wrong_type("a string", body);
    for (const Variable variable : {Variable::kPrincipal, Variable::kAction, Variable::kResource, Variable::kContext}) {
      if (body.as_string() != to_string(variable)) continue;
      Expr out;
      out.kind = ExprKind::kVariable;
      out.variable = variable;
      return out;
    }
    return fail(ErrorKind::kInvalid, "cedar_json_operator", "no such variable")
        .expected("principal, action, resource or context")
        .found(body.as_string());
  }

  // The member of `body`, an expression two levels below the operator's object.
  Status operand(const Json& body, std::string_view name, std::size_t depth, Expr& out) {
    WARY_ASSIGN_OR_RETURN(const Json* at, member(body, name));
    auto read_one = read(*at, depth + 2);
    if (!read_one.ok()) return inside(std::move(read_one).error(), name);
    out.operands.push_back(std::move(*read_one));
    return {};
  }

  [[gnu::noinline]] Result<Expr> plain(const JsonOperator& op, const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    Expr out;
    out.kind = op.kind;
    if (op.operands == 1) {
      WARY_RETURN_IF_ERROR(only_members(body, {"arg"}));
      WARY_RETURN_IF_ERROR(operand(body, "arg", depth, out));
      return out;
    }
    WARY_RETURN_IF_ERROR(only_members(body, {"left", "right"}));
    WARY_RETURN_IF_ERROR(operand(body, "left", depth, out));
    WARY_RETURN_IF_ERROR(operand(body, "right", depth, out));
    return out;
  }

  // Operators nested to the left are one node, and read without recursion.
  [[gnu::noinline]] Result<Expr> chain(const Json& json, std::size_t depth) {
    const ExprKind kind = find_operator(json.members().front().first)->kind;
    std::vector<const Json::Member*> levels;  // outermost first
    const Json* at = &json;
    const auto continues = [&](const Json& next) {
      if (!next.is_object() || next.members().size() != 1) return false;
      const JsonOperator* op = find_operator(next.members().front().first);
      return op != nullptr && op->kind == kind;
    };
    while (continues(*at)) {
      const Json::Member& level = at->members().front();
      levels.push_back(&level);
      auto checked = check_level(level.second, depth + 2 * levels.size());
      if (!checked.ok()) return at_level(std::move(checked).error(), levels, levels.size() - 1);
      at = level.second.find("left");
    }
    Expr out;
    out.kind = kind;
    auto first = read(*at, depth + 2 * levels.size());
    if (!first.ok()) return at_level(inside(std::move(first).error(), "left"), levels, levels.size() - 1);
    out.operands.push_back(std::move(*first));
    for (std::size_t i = levels.size(); i-- > 0;) {
      auto right = read(*levels[i]->second.find("right"), depth + 2 * (i + 1));
      if (!right.ok()) return at_level(inside(std::move(right).error(), "right"), levels, i);
      out.operands.push_back(std::move(*right));
    }
    if (kind == ExprKind::kAdd) {
      out.subtracts.push_back(false);
      for (std::size_t i = levels.size(); i-- > 0;) out.subtracts.push_back(levels[i]->first == "-");
    }
    return out;
  }

  Status check_level(const Json& body, std::size_t depth) const {
    WARY_RETURN_IF_ERROR(check_depth(depth));
    if (!body.is_object()) return wrong_type("an object", body);
    WARY_RETURN_IF_ERROR(only_members(body, {"left", "right"}));
    for (const std::string_view name : {"left", "right"}) {
      if (body.find(name) == nullptr) return missing(name);
    }
    return {};
  }

  // The place of an error in operator number `level` of a chain, seen from the outermost operator's body.
  static Error at_level(Error error, const std::vector<const Json::Member*>& levels, std::size_t level) {
    for (std::size_t i = level; i > 0; --i) error = inside(inside(std::move(error), levels[i]->first), "left");
    return error;
  }

  [[gnu::noinline]] Result<Expr> conditional(const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    WARY_RETURN_IF_ERROR(only_members(body, {"if", "then", "else"}));
    Expr out;
    out.kind = ExprKind::kIf;
    for (const std::string_view name : {"if", "then", "else"}) WARY_RETURN_IF_ERROR(operand(body, name, depth, out));
    return out;
  }

  [[gnu::noinline]] Result<Expr> attribute(const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    WARY_RETURN_IF_ERROR(only_members(body, {"left", "attr"}));
    Expr out;
    out.kind = ExprKind::kGetAttribute;
    WARY_RETURN_IF_ERROR(operand(body, "left", depth, out));
    WARY_ASSIGN_OR_RETURN(const Json* name, member(body, "attr"));
    if (!name->is_string()) return inside(wrong_type("a string", *name), "attr");
    WARY_RETURN_IF_ERROR(check_text(name->as_string()));
    out.name = name->as_string();
    return out;
  }

  [[gnu::noinline]] Result<Expr> has(const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    WARY_RETURN_IF_ERROR(only_members(body, {"left", "attr"}));
    Expr out;
    out.kind = ExprKind::kHas;
    WARY_RETURN_IF_ERROR(operand(body, "left", depth, out));
    WARY_ASSIGN_OR_RETURN(const Json* names, member(body, "attr"));
    if (names->is_string()) {
      out.names.push_back(names->as_string());
    } else if (names->is_array() && !names->items().empty()) {
      for (const Json& name : names->items()) {
        if (!name.is_string()) return inside(wrong_type("strings", name), "attr");
        out.names.push_back(name.as_string());
      }
    } else {
      return inside(wrong_type("a string or an array of strings", *names), "attr");
    }
    for (const std::string& name : out.names) {
      WARY_RETURN_IF_ERROR(check_text(name));
      if (is_identifier(name)) continue;
      if (out.names.size() > 1) {
        return inside(fail(ErrorKind::kInvalid, "cedar_reserved", "a path is made of identifiers").found(name), "attr");
      }
      out.has_string = true;
    }
    return out;
  }

  [[gnu::noinline]] Result<Expr> like(const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    WARY_RETURN_IF_ERROR(only_members(body, {"left", "pattern"}));
    Expr out;
    out.kind = ExprKind::kLike;
    WARY_RETURN_IF_ERROR(operand(body, "left", depth, out));
    WARY_ASSIGN_OR_RETURN(const Json* pattern, member(body, "pattern"));
    if (!pattern->is_array()) return inside(wrong_type("an array", *pattern), "pattern");
    for (std::size_t i = 0; i < pattern->items().size(); ++i) {
      auto added = pattern_element(pattern->items()[i], out.pattern);
      if (!added.ok()) return inside(inside(std::move(added).error(), std::to_string(i)), "pattern");
    }
    return out;
  }

  Status pattern_element(const Json& json, std::vector<PatternElement>& out) const {
    if (json.is_string() && json.as_string() == "Wildcard") {
      out.push_back({true, 0});
      return {};
    }
    if (!json.is_object()) return wrong_type("\"Wildcard\" or {\"Literal\"}", json);
    WARY_RETURN_IF_ERROR(only_members(json, {"Literal"}));
    WARY_ASSIGN_OR_RETURN(const Json* text, member(json, "Literal"));
    if (!text->is_string()) return inside(wrong_type("a string", *text), "Literal");
    WARY_RETURN_IF_ERROR(check_text(text->as_string()));
    for (std::size_t at = 0; at < text->as_string().size();) {
      out.push_back({false, next_code_point(text->as_string(), at)});
    }
    return {};
  }

  [[gnu::noinline]] Result<Expr> is_type(const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    WARY_RETURN_IF_ERROR(only_members(body, {"left", "entity_type", "in"}));
    Expr out;
    out.kind = ExprKind::kIs;
    WARY_RETURN_IF_ERROR(operand(body, "left", depth, out));
    WARY_ASSIGN_OR_RETURN(const Json* type, member(body, "entity_type"));
    if (!type->is_string()) return inside(wrong_type("a string", *type), "entity_type");
    if (!is_type_name(type->as_string())) {
      return inside(fail(ErrorKind::kInvalid, "cedar_type_name", "not an entity type").found(type->as_string()),
                    "entity_type");
    }
    out.name = type->as_string();
    if (body.find("in") != nullptr) WARY_RETURN_IF_ERROR(operand(body, "in", depth, out));
    return out;
  }

  [[gnu::noinline]] Result<Expr> list(ExprKind kind, const Json& body, std::size_t depth) {
    if (!body.is_array()) return wrong_type("an array", body);
    Expr out;
    out.kind = kind;
    for (std::size_t i = 0; i < body.items().size(); ++i) {
      auto item = read(body.items()[i], depth + 2);
      if (!item.ok()) return inside(std::move(item).error(), std::to_string(i));
      out.operands.push_back(std::move(*item));
    }
    return out;
  }

  [[gnu::noinline]] Result<Expr> call(const ExtensionFunction& function, const Json& body, std::size_t depth) {
    WARY_ASSIGN_OR_RETURN(Expr out, list(ExprKind::kCall, body, depth));
    return called(function, std::move(out));
  }

  // How many arguments a call has is for the evaluation to judge; but without a receiver there is no text for it.
  static Result<Expr> called(const ExtensionFunction& function, Expr call) {
    if (function.is_method && call.operands.empty()) {
      return fail(ErrorKind::kInvalid, "cedar_json_operator", "a method without its receiver").found(function.name);
    }
    call.call = function.op;
    return call;
  }

  [[gnu::noinline]] Result<Expr> record(const Json& body, std::size_t depth) {
    if (!body.is_object()) return wrong_type("an object", body);
    Expr out;
    out.kind = ExprKind::kRecord;
    std::set<std::string_view> seen;
    for (const auto& [name, json] : body.members()) {
      WARY_RETURN_IF_ERROR(check_key(name, seen));
      auto item = read(json, depth + 2);
      if (!item.ok()) return inside(std::move(item).error(), name);
      out.names.push_back(name);
      out.operands.push_back(std::move(*item));
    }
    return out;
  }

  Status check_key(const std::string& name, std::set<std::string_view>& seen) const {
    WARY_RETURN_IF_ERROR(check_text(name));
    if (seen.insert(name).second) return {};
    return fail(ErrorKind::kInvalid, "cedar_json_duplicate", "a member stands twice").found(name);
  }

  [[gnu::noinline]] Result<Expr> value_object(const Json& json, std::size_t depth) {
    for (const std::string_view escape : {"__entity", "__extn", "__expr"}) {
      const Json* inner = json.find(escape);
      if (inner == nullptr) continue;
      if (json.members().size() != 1 || escape == "__expr") {
        return fail(ErrorKind::kInvalid, "cedar_json_escape", "a reserved member among others").found(escape);
      }
      if (escape == "__extn") {
        auto out = value_call(*inner, depth + 1);
        if (!out.ok()) return inside(std::move(out).error(), escape);
        return out;
      }
      Expr out;
      WARY_ASSIGN_OR_RETURN(EntityPtr uid, entity_uid_from_json(json));
      WARY_RETURN_IF_ERROR(check_text(uid->id));
      out.literal = Value::entity(std::move(uid));
      return out;
    }
    Expr out;
    out.kind = ExprKind::kRecord;
    std::set<std::string_view> seen;
    for (const auto& [name, item_json] : json.members()) {
      WARY_RETURN_IF_ERROR(check_key(name, seen));
      auto item = value(item_json, depth + 1);
      if (!item.ok()) return inside(std::move(item).error(), name);
      out.names.push_back(name);
      out.operands.push_back(std::move(*item));
    }
    return out;
  }

  Result<Expr> value_call(const Json& json, std::size_t depth) {
    if (!json.is_object()) return wrong_type("{\"fn\", \"arg\"}", json);
    WARY_RETURN_IF_ERROR(only_members(json, {"fn", "arg", "args"}));
    const Json* name = json.find("fn");
    const Json* argument = json.find("arg");
    const Json* arguments = json.find("args");
    if (name == nullptr || !name->is_string() || (argument == nullptr) == (arguments == nullptr) ||
        (arguments != nullptr && !arguments->is_array())) {
      return fail(ErrorKind::kInvalid, "cedar_json_escape", "not an extension call").expected("{\"fn\", \"arg\"}");
    }
    const ExtensionFunction* function = find_extension(name->as_string());
    if (function == nullptr) {
      return fail(ErrorKind::kInvalid, "cedar_json_escape", "no such extension function").found(name->as_string());
    }
    Expr out;
    out.kind = ExprKind::kCall;
    for (std::size_t i = 0; i < (argument != nullptr ? 1 : arguments->items().size()); ++i) {
      WARY_ASSIGN_OR_RETURN(Expr item, value(argument != nullptr ? *argument : arguments->items()[i], depth + 1));
      out.operands.push_back(std::move(item));
    }
    return called(*function, std::move(out));
  }

  std::size_t nesting_ = 0;
};

}  // namespace

Result<Expr> read_expression(const Json& json, std::size_t depth) { return Reader().read(json, depth); }

}  // namespace wary::cedar
